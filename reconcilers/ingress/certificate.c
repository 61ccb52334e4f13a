/* TLS: Secrets become files for haproxy, and names of hosts (SNI) lead to them. Only whole blocks
 * of certificates and one key are copied, each read before: a broken Secret is a finding of its
 * Ingress, and its hosts get the default certificate. */
#include "lib/object.h"
#include "lib/pki.h"
#include "reconcilers/ingress/internal.h"

enum { NAMES_PER_LINE = 100, FILE_NAME_MAX = 255 };

#define BEGIN_CERT "-----BEGIN CERTIFICATE-----"
#define END_CERT "-----END CERTIFICATE-----"

/* Copies the certificates of a PEM text. 0, or -EINVAL when there is none, or one cannot be read.
 */
static int copy_chain(const char *text, struct buf *out) {
        size_t count = 0;

        for (const char *at = text; (at = strstr(at, BEGIN_CERT)); count++) {
                const char *end = strstr(at, END_CERT);
                _cleanup_free_ char *one = NULL;
                uint64_t begins;
                int r;

                if (!end)
                        return -EINVAL;
                end += strlen(END_CERT);
                one = strndup(at, (size_t)(end - at));
                assert(one);
                r = pki_cert_begins(one, &begins);
                if (r < 0)
                        return r;
                buf_printf(out, "%s\n", one);
                at = end;
        }
        return count > 0 ? 0 : -EINVAL;
}

static int copy_key(const char *text, struct buf *out) {
        static const char *const kinds[] = {"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"};

        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                _cleanup_free_ char *begin = strformat("-----BEGIN %s-----", kinds[i]),
                                    *end = strformat("-----END %s-----", kinds[i]);
                const char *from, *to;

                assert(begin && end);
                from = strstr(text, begin);
                to = from ? strstr(from, end) : NULL;
                if (to) {
                        buf_append(out, from, (size_t)(to - from) + strlen(end));
                        buf_append_char(out, '\n');
                        return 0;
                }
        }
        return -EINVAL;
}

/* The decoded text of one key of a Secret; NULL: absent, too large or not text. */
static char *secret_text(const json_t *secret, const char *key) {
        const char *encoded =
                        json_string_value(json_object_get(json_object_get(secret, "data"), key));
        void *data;
        size_t n;

        if (!encoded || strlen(encoded) > INGRESS_CERT_MAX || base64_decode(encoded, &data, &n) < 0)
                return NULL;
        if (strlen(data) != n) {
                free(data);
                return NULL;
        }
        return data;
}

char *ingress_secret_mark(const json_t *secret) {
        char *mark = strformat("%s/%s@%s", object_namespace(secret), object_name(secret),
                        json_str_or(secret, "metadata.resourceVersion", ""));

        assert(mark);
        return mark;
}

/* Whether the mark is that of a Secret as it is now. */
static bool is_present(const struct ingress_view *view, const char *mark) {
        const char *slash = strchr(mark, '/'), *at = slash ? strchr(slash, '@') : NULL;
        _cleanup_free_ char *ns = NULL, *name = NULL, *now = NULL;
        const json_t *secret;

        if (!at)
                return false;
        ns = strndup(mark, (size_t)(slash - mark));
        name = strndup(slash + 1, (size_t)(at - slash - 1));
        assert(ns && name);
        secret = view->secret(view->data, ns, name);
        if (!secret)
                return false;
        now = ingress_secret_mark(secret);
        return streq(now, mark);
}

void ingress_forget_refused(const struct ingress_view *view, json_t *refused) {
        const char *mark;
        json_t *why;
        void *next;

        json_object_foreach_safe(refused, next, mark, why) if (!is_present(view, mark))
                        json_object_del(refused, mark);
}

static void erase(char **text) {
        if (!*text)
                return;
        explicit_bzero(*text, strlen(*text));
        free(*text);
}

/* The file for haproxy: chain and key. NULL after *ret_why was set. */
static char *read_pem(const struct ingress_draft *d, const json_t *secret, const char **ret_why) {
        _cleanup_free_ char *cert = secret_text(secret, "tls.crt"), *mark = NULL;
        _cleanup_(erase) char *key = secret_text(secret, "tls.key");
        _cleanup_buf_ struct buf b = {0};
        char *text;

        *ret_why = "it has no tls.crt and tls.key (type kubernetes.io/tls)";
        if (!cert || !key)
                return NULL;
        mark = ingress_secret_mark(secret);
        *ret_why = json_string_value(json_object_get(d->view->refused, mark));
        if (*ret_why)
                return NULL;
        *ret_why = "tls.crt is not a list of PEM certificates";
        if (copy_chain(cert, &b) < 0)
                return NULL;
        *ret_why = "tls.key is not a PEM private key without a password";
        if (copy_key(key, &b) < 0)
                return NULL;
        *ret_why = "tls.key does not belong to the first certificate of tls.crt";
        if (pki_cert_matches_key(cert, key) <= 0)
                return NULL;
        text = buf_take(&b);
        assert(text);
        return text;
}

/* The folder is in memory, and when it is full no change can be written; and reading chains
 * takes time. So each namespace has a share. Counts the Secret's size. */
static bool is_within_share(struct ingress_draft *d, const char *ns, const json_t *secret,
                const char **ret_why) {
        static const char *const keys[] = {"tls.crt", "tls.key"};
        json_int_t sum = json_integer_value(json_object_get(d->sizes, ns));

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                sum += (json_int_t)json_string_length(
                                       json_object_get(json_object_get(secret, "data"), keys[i])) /
                       4 * 3;
        *ret_why = "the certificates of its namespace have more than 4 MiB; shorten their chains";
        if (sum > INGRESS_CERTS_MAX)
                return false;
        assert(json_object_set_new(d->sizes, ns, json_integer(sum)) >= 0);
        return true;
}

static char *make_file(struct ingress_draft *d, const char *ns, const json_t *secret,
                const char *file, const char **ret_why) {
        *ret_why = "it does not exist";
        if (!secret)
                return NULL;
        *ret_why = "its name is too long for a file; use one of at most 180 characters";
        if (strlen(file) > FILE_NAME_MAX || !is_within_share(d, ns, secret, ret_why))
                return NULL;
        return read_pem(d, secret, ret_why);
}

/* The file of a Secret's certificate, made when it is new. NULL: it cannot be used, *ret_why says
 * why. Borrowed. */
static const char *certificate_file(
                struct ingress_draft *d, const char *ns, const char *name, const char **ret_why) {
        _cleanup_free_ char *file = strformat("%s_%s.pem", ns, name);
        _cleanup_(erase) char *pem = NULL;

        assert(file);
        *ret_why = json_string_value(json_object_get(d->unusable, file));
        if (*ret_why)
                return NULL;
        if (!json_object_get(d->certificates, file)) {
                pem = make_file(d, ns, ingress_secret(d, ns, name), file, ret_why);
                if (!pem) {
                        assert(json_object_set_new(d->unusable, file, json_string(*ret_why)) >= 0);
                        return NULL;
                }
                assert(json_object_set_new(d->certificates, file, json_string(pem)) >= 0);
        }
        return json_object_iter_key(json_object_iter_at(d->certificates, file));
}

static void add_name(struct ingress_draft *d, const json_t *ingress, const char *host,
                const char *file) {
        const char *present;

        if (!ingress_is_host(host, /* wildcard= */ true)) {
                ingress_finding(d, ingress, "InvalidHost",
                                "A host of spec.tls is not a DNS name: it is left out");
                return;
        }
        if (!ingress_claim_host(d, ingress, host))
                return;
        present = json_string_value(json_object_get(d->names, host));
        if (present && !streq(present, file))
                ingress_finding(d, ingress, "CertificateConflict",
                                "An older Ingress names another Secret for %s: that one is used",
                                host);
        else
                assert(json_object_set_new(d->names, host, json_string(file)) >= 0);
}

static void add_entry(struct ingress_draft *d, const json_t *ingress, const json_t *entry) {
        const char *secret = json_str_or(entry, "secretName", ""), *file, *why;
        const json_t *hosts = json_object_get(entry, "hosts"), *v;
        size_t i, count = 0;

        if (!*secret) /* the default certificate */
                return;
        file = certificate_file(d, object_namespace(ingress), secret, &why);
        if (!file) {
                ingress_finding(d, ingress, "InvalidCertificate",
                                "Secret %s cannot be used: %s. Its hosts get the default "
                                "certificate",
                                ingress_is_host(secret, /* wildcard= */ false) ? secret
                                                                               : "(no name)",
                                why);
                return;
        }
        if (json_array_size(hosts) > 0) {
                json_array_foreach (hosts, i, v)
                        add_name(d, ingress, strempty(json_string_value(v)), file);
                return;
        }
        json_array_foreach (json_at(ingress, "spec.rules"), i, v)
                if (*json_str_or(v, "host", "")) {
                        add_name(d, ingress, json_str_or(v, "host", ""), file);
                        count++;
                }
        if (count == 0)
                ingress_finding(d, ingress, "InvalidCertificate",
                                "spec.tls names no host, and no rule does: Secret %s is not used. "
                                "Name hosts, or give kingressd --default-certificate",
                                secret);
}

void ingress_add_tls(struct ingress_draft *d, const json_t *ingress) {
        const json_t *entry;
        size_t i;

        json_array_foreach (json_at(ingress, "spec.tls"), i, entry)
                add_entry(d, ingress, entry);
}

bool ingress_has_tls(const json_t *ingress, const char *host) {
        const json_t *entry, *v;
        size_t i, j;

        json_array_foreach (json_at(ingress, "spec.tls"), i, entry) {
                if (json_array_size(json_object_get(entry, "hosts")) == 0)
                        return true; /* for the hosts of all rules */
                json_array_foreach (json_object_get(entry, "hosts"), j, v)
                        if (streq(strempty(json_string_value(v)), host))
                                return true;
        }
        return false;
}

/* "default.pem", or the file of the Secret that the administrator chose. */
static const char *default_file(struct ingress_draft *d) {
        const char *chosen = d->view->options->default_certificate, *slash, *file, *why;
        _cleanup_free_ char *ns = NULL;

        slash = chosen ? strchr(chosen, '/') : NULL;
        if (slash) {
                ns = strndup(chosen, (size_t)(slash - chosen));
                assert(ns);
                file = certificate_file(d, ns, slash + 1, &why);
                if (file)
                        return file;
        }
        assert(json_object_set_new(d->certificates, "default.pem",
                               json_string(d->view->options->fallback_pem)) >= 0);
        return "default.pem";
}

/* A line of the list is bounded in haproxy (64 KiB, 2,048 words), so a certificate of many names
 * has several. One line that is too long would be the end of everyone's changes. */
static void add_lines(struct buf *b, const char *file, const json_t *hosts) {
        const json_t *host;
        size_t i;

        json_array_foreach (hosts, i, host) {
                if (i % NAMES_PER_LINE == 0)
                        buf_printf(b, "%s@DIR@/certs/%s [alpn h2,http/1.1]", i > 0 ? "\n" : "",
                                        file);
                buf_printf(b, " %s", json_string_value(host));
        }
        buf_append_char(b, '\n');
}

void ingress_finish_tls(struct ingress_draft *d) {
        _cleanup_json_ json_t *by_file = json_object(); /* {file: hosts} */
        _cleanup_buf_ struct buf b = {0};
        const json_t *file, *hosts;
        const char *host, *name;
        char *text;

        assert(by_file);
        /* The first one is for clients that send no name or an unknown one. */
        buf_printf(&b, "@DIR@/certs/%s [alpn h2,http/1.1]\n", default_file(d));
        json_object_each (d->names, host, file) {
                json_t *list = json_object_get(by_file, json_string_value(file));

                if (!list) {
                        list = json_array();
                        assert(json_object_set_new(by_file, json_string_value(file), list) >= 0);
                }
                assert(json_array_append_new(list, json_string(host)) >= 0);
        }
        json_object_each (by_file, name, hosts)
                add_lines(&b, name, hosts);
        text = buf_take(&b);
        assert(text && json_object_set_new(d->files, "certificates.list", json_string(text)) >= 0);
        free(text);
}
