/* The TLS files of both sides, and those that --auto-tls and --peer-auto-tls make: a certificate
 * that signed itself, and its key, in DATA-DIR/fixtures/client and DATA-DIR/fixtures/peer, where
 * etcd keeps its own. They are kept, and made again by the start that finds little of their life
 * left. */
#include "kstored/server/auto-tls.h"

#include <arpa/inet.h>
#include <sys/stat.h>

#include "kstored/server/server.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

enum { RENEW_BEFORE_S = 30 * 86400, PEM_SIZE_MAX = 64 << 10, DAYS_A_YEAR = 365 };

struct auto_tls {
        char *files[4]; /* certificate and key for clients, the same for members; NULL: not made */
};

struct names {
        char **dns, **ips;
};

static void names_done(struct names *n) {
        strv_free(n->dns);
        strv_free(n->ips);
}

/* The host of "https://host:port". */
static int add_host(struct names *n, const char *url) {
        const char *s = startswith(url, "https://"), *colon = s ? strrchr(s, ':') : NULL;
        unsigned char address[sizeof(struct in6_addr)];
        _cleanup_free_ char *host = NULL;
        bool ip;

        if (!colon)
                return 0;
        host = *s == '[' && colon > s + 1 ? strndup(s + 1, (size_t)(colon - s) - 2)
                                          : strndup(s, (size_t)(colon - s));
        if (!host)
                return -ENOMEM;
        ip = inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1;
        if (strv_contains(ip ? n->ips : n->dns, host))
                return 0;
        return strv_extend(ip ? &n->ips : &n->dns, host);
}

static int add_hosts(struct names *n, char *const *urls) {
        for (; urls && *urls; urls++) {
                int r = add_host(n, *urls);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Files made by an earlier start. */
static bool still_good(const char *cert_path, const char *key_path) {
        _cleanup_free_ char *cert = NULL, *key = NULL;
        uint64_t end_s;

        return file_read(cert_path, PEM_SIZE_MAX, &cert, NULL) >= 0 &&
               file_read(key_path, PEM_SIZE_MAX, &key, NULL) >= 0 &&
               pki_cert_read(cert, NULL, NULL, &end_s) >= 0 &&
               pki_cert_matches_key(cert, key) > 0 &&
               end_s > now_wall_us() / 1000000 + RENEW_BEFORE_S;
}

static int write_pair(
                const char *cert_path, const char *key_path, const char *cert, const char *key) {
        int r = file_write_atomic(key_path, key, strlen(key), 0600);

        if (r < 0)
                return r;
        return file_write_atomic(cert_path, cert, strlen(cert), 0644);
}

static int make(const char *folder, const char *cert_path, const char *key_path,
                const struct names *n, unsigned days) {
        static const char *const organizations[] = {"keelson", NULL};
        const struct pki_subject subject = {.cn = "kstored",
                        .organizations = organizations,
                        .dns_names = (const char *const *)n->dns,
                        .ip_addresses = (const char *const *)n->ips};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        int r = mkdir_parents(folder, 0700);

        if (r < 0)
                return r;
        r = pki_self_signed(&subject, PKI_USAGE_CLIENT | PKI_USAGE_SERVER, days, &cert, &key);
        if (r < 0)
                return r;
        r = write_pair(cert_path, key_path, cert, key);
        explicit_bzero(key, strlen(key));
        return r;
}

/* side: "client" or "peer"; the paths belong to the caller. */
static int ensure(const struct server *s, const char *side, const struct names *n, char **ret_cert,
                char **ret_key, struct problem *p) {
        const struct server_options *o = s->options;
        _cleanup_free_ char *folder = strformat("%s/fixtures/%s", o->data_dir, side);
        int r;

        if (!folder)
                return -ENOMEM;
        *ret_cert = strformat("%s/cert.pem", folder);
        *ret_key = strformat("%s/key.pem", folder);
        if (!*ret_cert || !*ret_key)
                return -ENOMEM;
        if (still_good(*ret_cert, *ret_key))
                return 0;
        r = make(folder, *ret_cert, *ret_key, n, o->self_signed_cert_validity * DAYS_A_YEAR);
        if (r < 0) {
                _cleanup_free_ char *text = file_error_text(folder, "write", r);

                return problem_set(p, -r, 0, NULL, "no certificate can be made for --%s: %s",
                                streq(side, "peer") ? "peer-auto-tls" : "auto-tls",
                                text ? text : folder);
        }
        log_info("Made a self-signed certificate for %ss: %s", side, *ret_cert);
        return 0;
}

static int client_tls(struct server *s, struct auto_tls *x, struct problem *p) {
        const struct server_options *o = s->options;
        _cleanup_(names_done) struct names n = {0};
        int r;

        s->client_tls = (struct tls_files){.cert = o->cert_file,
                        .key = o->key_file,
                        .ca = o->trusted_ca_file,
                        .crl = o->client_crl_file,
                        .allowed_cns = o->client_cert_allowed_cn,
                        .allowed_hostnames = o->client_cert_allowed_hostname};
        if (!o->auto_tls)
                return 0;
        r = add_hosts(&n, o->listen_client_urls);
        if (r < 0)
                return r;
        r = add_hosts(&n, o->advertise_client_urls);
        if (r < 0)
                return r;
        r = add_hosts(&n, o->listen_metrics_urls);
        if (r < 0)
                return r;
        r = ensure(s, "client", &n, &x->files[0], &x->files[1], p);
        if (r < 0)
                return r;
        s->client_tls.cert = x->files[0];
        s->client_tls.key = x->files[1];
        return 0;
}

int server_tls(struct server *s, struct problem *p) {
        const struct server_options *o = s->options;
        _cleanup_(names_done) struct names n = {0};
        struct auto_tls *x = server_part(s, SERVER_PART_AUTO_TLS);
        int r = client_tls(s, x, p);

        s->peer_tls = (struct tls_files){.cert = o->peer_cert_file,
                        .key = o->peer_key_file,
                        .ca = o->peer_trusted_ca_file,
                        .crl = o->peer_crl_file,
                        .allowed_cns = o->peer_cert_allowed_cn,
                        .allowed_hostnames = o->peer_cert_allowed_hostname,
                        .unverified = o->peer_auto_tls};
        if (r < 0 || !o->peer_auto_tls)
                return r;
        r = add_hosts(&n, o->listen_peer_urls);
        if (r < 0)
                return r;
        r = add_hosts(&n, o->initial_advertise_peer_urls);
        if (r < 0)
                return r;
        r = ensure(s, "peer", &n, &x->files[2], &x->files[3], p);
        if (r < 0)
                return r;
        s->peer_tls.cert = x->files[2];
        s->peer_tls.key = x->files[3];
        return 0;
}

const struct tls_files *server_peer_tls(const struct server *s) {
        return s->peer_tls.cert || s->peer_tls.ca ? &s->peer_tls : NULL;
}

static void end(struct server *s, void *state) {
        struct auto_tls *x = state;

        for (size_t i = 0; i < ELEMENTS(x->files); i++)
                x->files[i] = mfree(x->files[i]);
}

const struct server_part auto_tls_part = {
                .name = "auto-tls", .size = sizeof(struct auto_tls), .end = end};
