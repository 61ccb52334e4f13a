/* kctl user: certificates for people. The key is made here and leaves only in the kubeconfig that
 * is written; the API signs the request. A ClusterUser lists what was issued, and kapid accepts
 * nothing else for that name: so a certificate that is removed, or marked, opens nothing. */
#include "kctl/cluster.h"
#include "kctl/control.h"
#include "kctl/info.h"
#include "kctl/sign-request.h"
#include "lib/client/kubeconfig.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"

#define DAY_US (86400 * UINT64_C(1000000))
#define EXPIRES_MAX_US (365 * DAY_US)
#define EXPIRES_MIN_US (600 * UINT64_C(1000000)) /* the signer's */

enum { CERTIFICATES_MAX = 64, GROUPS_MAX = 64, NAME_SIZE_MAX = 64, TRIES_MAX = 5 };

/* A change of the object at the API, tried again when another changed it meanwhile. */
typedef int (*change_func)(json_t *user, void *userdata, struct problem *p);

static char *user_path(const char *name) {
        return api_path(api_resource(KIND_CLUSTERUSERS), NULL, name, NULL, "fieldManager=kctl");
}

static bool is_past(const json_t *v, const char *field) {
        uint64_t us;

        return time_parse(json_str_or(v, field, ""), &us) >= 0 && us <= now_wall_us();
}

/* --- what may be asked for --- */

/* A user's name is a common name (64 characters, RFC 5280) and a part of a path. */
static int check_name(const char *name, struct problem *p) {
        size_t n = strlen(name);

        if (n == 0 || n > NAME_SIZE_MAX || strpbrk(name, "/%\\\"") || streq(name, ".") ||
                        streq(name, "..") || !utf8_is_valid(name, n))
                return problem_set(p, EINVAL, 0, NULL,
                                "\"%s\" cannot be a user's name: 1 to %d characters without / %% "
                                "\\ and quotes",
                                name, NAME_SIZE_MAX);
        for (const char *s = name; *s; s++)
                if ((unsigned char)*s <= 0x20 || *s == 0x7f)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "a user's name has no blanks and control characters");
        return 0;
}

static int check_new(struct kctl *k, const char *name, struct problem *p) {
        int r = check_name(name, p);

        if (r < 0)
                return r;
        if (startswith(name, "system:"))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: names that begin with system: are the cluster's own", name);
        if (strv_length(k->flags.user_groups) > GROUPS_MAX)
                return problem_set(
                                p, EINVAL, 0, NULL, "at most %d groups are possible", GROUPS_MAX);
        for (char **g = k->flags.user_groups; g && *g; g++)
                if (streq(*g, "system:masters"))
                        return problem_set(p, EINVAL, 0, NULL,
                                        "the group system:masters is not given to people: bind "
                                        "the role cluster-admin to the user or to a group");
        if (k->flags.expires_us < EXPIRES_MIN_US || k->flags.expires_us > EXPIRES_MAX_US)
                return problem_set(p, EINVAL, 0, NULL,
                                "--expires must be from 10m to 365d: the signer gives no other");
        return 0;
}

/* Whether the credentials that we use are a certificate of that name; its fingerprint. 1 if so. */
static int is_own(const struct kubeconfig_context *own, const char *name,
                char ret[static SHA256_HEX_SIZE]) {
        _cleanup_free_ char *cn = NULL;

        if (isempty(own->cert_pem) || pki_cert_read(own->cert_pem, &cn, NULL, NULL) < 0)
                return 0;
        return streq(strempty(cn), name) && pki_cert_fingerprint(own->cert_pem, ret) >= 0;
}

static bool lists(const json_t *user, const char *fingerprint) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(user, "spec.certificates"), i, v)
                if (streq(json_str_or(v, "fingerprint", ""), fingerprint))
                        return true;
        return false;
}

/* --- the object --- */

static json_t *new_user(const char *name) {
        return json_pack("{s:s, s:s, s:{s:s}, s:{}}", "apiVersion", "keelson.dev/v1", "kind",
                        "ClusterUser", "metadata", "name", name, "spec");
}

static int get_user(struct kctl *k, const char *name, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path =
                        api_path(api_resource(KIND_CLUSTERUSERS), NULL, name, NULL, NULL);
        int r = path ? api_get(k->client, path, ret, p) : -ENOMEM;

        if (r != -ENOENT)
                return r;
        problem_done(p);
        *p = (struct problem){0};
        *ret = NULL;
        return 0;
}

static int put_user(struct kctl *k, const char *name, const json_t *user, bool exists,
                struct problem *p) {
        _cleanup_free_ char *path = user_path(exists ? name : NULL);

        if (!path)
                return -ENOMEM;
        return api_request(k->client, exists ? "PUT" : "POST", path, "application/json", user, NULL,
                        p);
}

static int change_user(struct kctl *k, const char *name, change_func change, void *userdata,
                struct problem *p) {
        int r = 0;

        for (unsigned i = 0; i < TRIES_MAX; i++) {
                _cleanup_json_ json_t *user = NULL;
                bool exists;

                r = get_user(k, name, &user, p);
                if (r < 0)
                        return r;
                exists = user;
                if (!exists)
                        user = new_user(name);
                r = user ? change(user, userdata, p) : -ENOMEM;
                if (r < 0)
                        return r;
                r = put_user(k, name, user, exists, p);
                if (r != -ESTALE && r != -EEXIST)
                        return r;
        }
        return r;
}

/* --- user add --- */

struct issue {
        struct kctl *k;
        const char *name;
        struct kubeconfig_context own;
        char *key, *cert;
        char *out; /* the file that is written */
};

static void issue_done(struct issue *i) {
        if (i->key)
                explicit_bzero(i->key, strlen(i->key));
        free(i->key);
        free(i->cert);
        free(i->out);
        kubeconfig_context_done(&i->own);
}

/* Once a user has a ClusterUser, only the certificates in it are accepted: the caller's own would
 * no longer be. */
static int check_not_own(const struct issue *i, struct problem *p) {
        char fingerprint[SHA256_HEX_SIZE];
        _cleanup_json_ json_t *user = NULL;
        int r;

        if (!is_own(&i->own, i->name, fingerprint))
                return 0;
        r = get_user(i->k, i->name, &user, p);
        if (r < 0)
                return r;
        if (lists(user, fingerprint))
                return 0;
        return problem_set(p, EEXIST, 0, NULL,
                        "you are %s yourself, by a certificate that kctl user add did not issue "
                        "and that would no longer be accepted; choose another name",
                        i->name);
}

static int make_key(struct issue *i, char **ret_csr, struct problem *p) {
        const struct pki_subject subject = {.cn = i->name,
                        .organizations = (const char *const *)i->k->flags.user_groups};
        int r = pki_key_new(&i->key);

        if (r < 0)
                return r;
        r = pki_csr_new(i->key, &subject, ret_csr);
        if (r < 0 && r != -ENOMEM)
                return problem_set(p, EINVAL, 0, NULL,
                                "no certificate request can be made for %s in these groups: %s",
                                i->name, strerror(-r));
        return r;
}

static json_t *certificate_entry(const char *cert, struct problem *p) {
        char fingerprint[SHA256_HEX_SIZE], begin[TIMEFMT_SIZE], end[TIMEFMT_SIZE];
        uint64_t end_s;

        if (pki_cert_fingerprint(cert, fingerprint) < 0 ||
                        pki_cert_read(cert, NULL, NULL, &end_s) < 0) {
                problem_set(p, EINVAL, 0, NULL, "the API returned an unreadable certificate");
                return NULL;
        }
        return json_pack("{s:s, s:s, s:s}", "fingerprint", fingerprint, "issuedAt",
                        time_format(now_wall_us(), begin), "expiresAt",
                        time_format(end_s * 1000000, end));
}

static json_t *groups_value(char *const *groups) {
        json_t *list = json_array();

        for (; list && groups && *groups; groups++)
                if (json_array_append_new(list, json_string(*groups)) < 0)
                        return NULL;
        return list;
}

static json_t *certificates_of(json_t *user) {
        if (!json_at(user, "spec.certificates"))
                (void)json_set_at(user, "spec.certificates", json_array());
        return json_at_mut(user, "spec.certificates");
}

/* Those that have ended need no place. */
static int add_certificate(json_t *user, void *userdata, struct problem *p) {
        const struct issue *i = userdata;
        json_t *list = certificates_of(user), *entry = certificate_entry(i->cert, p);

        for (size_t n = json_array_size(list); n-- > 0;)
                if (is_past(json_array_get(list, n), "expiresAt"))
                        json_array_remove(list, n);
        if (json_array_size(list) >= CERTIFICATES_MAX) {
                json_decref(entry);
                return problem_set(p, E2BIG, 0, NULL,
                                "%s has %d certificates that have not ended; remove those that "
                                "are not used from ClusterUser %s",
                                i->name, CERTIFICATES_MAX, i->name);
        }
        if (!entry || json_array_append_new(list, entry) < 0)
                return p->message ? -EINVAL : -ENOMEM;
        return json_set_at(user, "spec.groups", groups_value(i->k->flags.user_groups));
}

/* Where the person reaches the API: as we do; from this machine's own address as nodes do. */
static int find_server(const struct issue *i, char **ret_server, char **ret_ca, struct problem *p) {
        _cleanup_free_ char *path = api_path(
                        api_resource(KIND_CONFIGMAPS), "kube-system", "keelson-info", NULL, NULL);
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *info = NULL;
        const char *server = strempty(i->own.server), *ca = strempty(i->own.ca_pem);

        if (!path)
                return -ENOMEM;
        if ((!startswith(server, "https://") || startswith(server, "https://127.") ||
                            startswith(server, "https://localhost")) &&
                        api_get(i->k->client, path, &info, &ignored) >= 0) {
                server = json_str_or(json_object_get(info, "data"), "server", server);
                ca = strempty(json_string_value(json_get(info, "data", "ca.crt", NULL)));
        }
        if (!startswith(server, "https://") || isempty(ca))
                return problem_set(p, EINVAL, 0, NULL,
                                "the address of the API for %s is not known: use a kubeconfig "
                                "with an https server and its certificate-authority",
                                i->name);
        *ret_server = strdup(server);
        *ret_ca = strdup(ca);
        return *ret_server && *ret_ca ? 0 : -ENOMEM;
}

/* With all API servers, for a kctl that finds one of them dead. */
static int add_servers(const struct issue *i, char **text) {
        _cleanup_strv_free_ char **servers = NULL;
        _cleanup_problem_ struct problem ignored = {0};
        char *with = NULL;
        int r;

        if (info_servers(i->k, &servers, &ignored) < 0 || strv_length(servers) < 2)
                return 0;
        r = kubeconfig_with_servers(*text, servers, &with, &ignored);
        if (r < 0)
                return r;
        explicit_bzero(*text, strlen(*text));
        free(*text);
        *text = with;
        return 0;
}

static int merge(const struct issue *i, char **text, struct problem *p) {
        int r = add_servers(i, text);

        return r < 0 ? r : kubeconfig_merge(i->out, *text, p);
}

static int write_kubeconfig(const struct issue *i, struct problem *p) {
        _cleanup_free_ char *server = NULL, *ca = NULL, *text = NULL,
                            *context = strformat("%s@keelson", i->name);
        int r = find_server(i, &server, &ca, p);

        if (r < 0)
                return r;
        text = context ? kubeconfig_text(context, server, ca, i->cert, i->key) : NULL;
        if (!text)
                return -ENOMEM;
        r = merge(i, &text, p);
        explicit_bzero(text, strlen(text));
        return r;
}

/* Before anything is issued: whether the file can be written afterwards. */
static int check_out(const struct issue *i, struct problem *p) {
        const char *slash = strrchr(i->out, '/');
        _cleanup_free_ char *folder =
                        slash ? strndup(i->out, (size_t)MAX(slash - i->out, 1)) : strdup(".");

        if (!folder)
                return -ENOMEM;
        if (access(folder, F_OK) == 0 && access(folder, W_OK) < 0)
                return problem_set(p, errno, 0, NULL, "cannot write %s: %s; give --out", i->out,
                                strerror(errno));
        return 0;
}

static int issue_certificate(struct issue *i, struct problem *p) {
        _cleanup_free_ char *csr = NULL, *about = strformat("user %s", i->name);
        int r = make_key(i, &csr, p);

        if (r < 0)
                return r;
        r = about ? sign_request(i->k,
                                    &(struct certificate_wish){.about = about,
                                                    .name_prefix = "user",
                                                    .signer = "kubernetes.io/kube-apiserver-client",
                                                    .csr_pem = csr,
                                                    .seconds = i->k->flags.expires_us / 1000000,
                                                    .reason = "KctlUserAdd",
                                                    .verb = "kctl user add"},
                                    &i->cert, p)
                  : -ENOMEM;
        if (r < 0)
                return r;
        return change_user(i->k, i->name, add_certificate, i, p);
}

static int add_user(struct issue *i, struct problem *p) {
        char end[TIMEFMT_SIZE];
        uint64_t end_s = 0;
        int r = kubeconfig_load(&i->own, i->k->flags.kubeconfig, i->k->flags.context, p);

        if (r < 0)
                return r;
        r = check_not_own(i, p);
        if (r < 0)
                return r;
        r = check_out(i, p);
        if (r < 0)
                return r;
        r = issue_certificate(i, p);
        if (r < 0)
                return r;
        r = write_kubeconfig(i, p);
        if (r < 0) {
                problem_prefix(p, "the certificate was issued and its key is lost, run the "
                                  "command again");
                return r;
        }
        (void)pki_cert_read(i->cert, NULL, NULL, &end_s);
        printf("%s is written: user %s until %s. It holds the key: give it to nobody else.\n"
               "Rights come from bindings (docs/users.md); to take it back: kctl user revoke %s\n",
                        i->out, i->name, time_format(end_s * 1000000, end), i->name);
        return 0;
}

/* --kubeconfig names the credentials, as with every verb; one that does not exist yet can only be
 * the file to write. */
static char *choose_out(struct kctl *k) {
        char *out;

        if (!isempty(k->flags.out))
                return strdup(k->flags.out);
        if (!isempty(k->flags.kubeconfig) && access(k->flags.kubeconfig, F_OK) < 0 &&
                        errno == ENOENT) {
                out = k->flags.kubeconfig;
                k->flags.kubeconfig = NULL;
                return out;
        }
        return strformat("%s.kubeconfig", k->words[0]);
}

int kctl_user_add(struct kctl *k) {
        _cleanup_(issue_done) struct issue i = {.k = k};
        _cleanup_problem_ struct problem p = {0};

        if (strv_length(k->words) != 1)
                return kctl_usage(k, "one name is needed, for example: kctl user add alice");
        i.name = k->words[0];
        if (check_new(k, i.name, &p) < 0)
                return kctl_fail(&p);
        i.out = choose_out(k);
        if (!i.out)
                return kctl_error("out of memory");
        if (!kctl_client(k))
                return EXIT_ERROR;
        return add_user(&i, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}

/* --- user revoke --- */

struct revocation {
        struct kctl *k;
        const char *name;
        size_t count;
};

static int revoke_certificates(json_t *user, void *userdata, struct problem *p) {
        struct revocation *v = userdata;
        json_t *list = certificates_of(user), *item;
        char now[TIMEFMT_SIZE];
        size_t i;

        if (isempty(object_uid(user)) && !v->k->flags.force)
                return problem_set(p, ENOENT, 0, NULL,
                                "kctl user add issued no certificate to %s. If one was issued in "
                                "another way, --force refuses all of that name",
                                v->name);
        time_format(now_wall_us(), now);
        v->count = 0;
        json_array_foreach (list, i, item) {
                if (is_past(item, "expiresAt") || json_str(item, "revokedAt"))
                        continue;
                if (json_object_set_new(item, "revokedAt", json_string(now)) < 0)
                        return -ENOMEM;
                v->count++;
        }
        return json_set_str(user, "spec.revokedAt", now);
}

static int check_own(struct kctl *k, const char *name, struct problem *p) {
        char fingerprint[SHA256_HEX_SIZE];
        struct kubeconfig_context own = {0};
        int r = kubeconfig_load(&own, k->flags.kubeconfig, k->flags.context, p), is;

        if (r < 0)
                return r;
        is = is_own(&own, name, fingerprint);
        kubeconfig_context_done(&own);
        if (!is || k->flags.force)
                return 0;
        return problem_set(p, EPERM, 0, NULL,
                        "you are %s yourself and would lock yourself out; --force does it", name);
}

static int revoke_user(struct kctl *k, const char *name, struct problem *p) {
        struct revocation v = {.k = k, .name = name};
        int r = check_name(name, p);

        if (r < 0)
                return r;
        r = check_own(k, name, p);
        if (r < 0)
                return r;
        r = change_user(k, name, revoke_certificates, &v, p);
        if (r < 0)
                return r;
        printf("user %s: %zu certificate%s revoked; %s\n", name, v.count, v.count == 1 ? "" : "s",
                        "every certificate of that name is refused from now on, until kctl user "
                        "add issues a new one");
        return 0;
}

int kctl_user_revoke(struct kctl *k) {
        int code = EXIT_OK;

        if (!k->words)
                return kctl_usage(k, "which user? kctl user list names them");
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (char **name = k->words; *name; name++) {
                _cleanup_problem_ struct problem p = {0};

                if (revoke_user(k, *name, &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}

/* --- user list --- */

/* "valid", "expired", "revoked", "none"; the end of the one that is valid longest. */
static const char *state_of(const json_t *user, const char **ret_end, size_t *ret_valid) {
        const json_t *v;
        size_t i, expired = 0;

        *ret_end = "<none>";
        *ret_valid = 0;
        json_array_foreach (json_at(user, "spec.certificates"), i, v) {
                const char *end = json_str_or(v, "expiresAt", "");

                if (json_str(v, "revokedAt"))
                        continue;
                if (is_past(v, "expiresAt")) {
                        expired++;
                        continue;
                }
                if (++*ret_valid == 1 || strcmp(end, *ret_end) > 0)
                        *ret_end = end;
        }
        return *ret_valid > 0                     ? "valid"
               : json_str(user, "spec.revokedAt") ? "revoked"
               : expired > 0                      ? "expired"
                                                  : "no certificate";
}

static json_t *row_of(const json_t *user) {
        const json_t *groups = json_at(user, "spec.groups"), *v;
        _cleanup_buf_ struct buf names = {0};
        const char *end, *state;
        size_t valid, i;

        json_array_foreach (groups, i, v)
                buf_printf(&names, "%s%s", i > 0 ? "," : "", strempty(json_string_value(v)));
        state = state_of(user, &end, &valid);
        return json_pack("{s:[s, s, s, I, s]}", "cells", object_name(user), state,
                        names.size > 0 ? names.data : "<none>", (json_int_t)valid, end);
}

static int print_users(struct kctl *k, const json_t *list) {
        _cleanup_json_ json_t *table = json_pack(
                        "{s:[{s:s, s:s, s:i}, {s:s, s:s, s:i}, {s:s, s:s, s:i}, {s:s, s:s, s:i}, "
                        "{s:s, s:s, s:i}], s:[]}",
                        "columnDefinitions", "name", "Name", "type", "string", "priority", 0,
                        "name", "State", "type", "string", "priority", 0, "name", "Groups", "type",
                        "string", "priority", 0, "name", "Certificates", "type", "integer",
                        "priority", 0, "name", "Valid until", "type", "string", "priority", 0,
                        "rows");
        struct columns columns = {0};
        const json_t *user;
        size_t i;

        if (!table)
                return -ENOMEM;
        json_array_foreach (json_object_get(list, "items"), i, user)
                if (json_array_append_new(json_object_get(table, "rows"), row_of(user)) < 0)
                        return -ENOMEM;
        print_table(k, table, false, NULL, &columns);
        return 0;
}

int kctl_user_list(struct kctl *k) {
        const struct kind_ref kind = kind_ref_of(KIND_CLUSTERUSERS);
        _cleanup_free_ char *path = api_path(&kind.resource, NULL, NULL, NULL, NULL);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *list = NULL;
        int r;

        if (k->words)
                return kctl_usage(k, "user list takes no name");
        if (!path || !kctl_client(k))
                return EXIT_ERROR;
        r = api_get(k->client, path, &list, &p);
        if (r < 0)
                return kctl_fail(&p);
        if (k->flags.output)
                return print_object(k, list, &kind, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
        if (json_array_size(json_object_get(list, "items")) == 0) {
                fputs("No users with certificates of kctl user add\n", stderr);
                return EXIT_OK;
        }
        r = print_users(k, list);
        return r < 0 ? kctl_error("%s", strerror(-r)) : EXIT_OK;
}
