/* Keys and certificates of a new cluster. */
#include "kctl/cluster.h"

#include "lib/json.h"
#include "lib/pki.h"
#include "lib/ssh.h"
#include "lib/yaml.h"

enum secrecy { PUBLIC, SECRET };

void cluster_files_done(struct cluster_files *f) {
        for (size_t i = 0; i < f->count; i++) {
                free(f->items[i].name);
                if (f->items[i].text)
                        explicit_bzero(f->items[i].text, strlen(f->items[i].text));
                free(f->items[i].text);
        }
        free(f->items);
        *f = (struct cluster_files){0};
}

const char *cluster_file_text(const struct cluster_files *f, const char *name) {
        for (size_t i = 0; i < f->count; i++)
                if (streq(f->items[i].name, name))
                        return f->items[i].text;
        return NULL;
}

static int add(struct cluster_files *f, const char *name, char *text_taken, enum secrecy secrecy) {
        struct cluster_file *items = reallocarray(f->items, f->count + 1, sizeof(*items));

        if (items)
                f->items = items;
        if (!items || !text_taken) {
                free(text_taken);
                return -ENOMEM;
        }
        items[f->count] = (struct cluster_file){strdup(name), text_taken, secrecy == SECRET};
        return items[f->count++].name ? 0 : -ENOMEM;
}

uint64_t cluster_life_s(uint64_t flag_us) {
        return flag_us >= 1000000 ? flag_us / 1000000 : CLUSTER_LIFE_S;
}

char *kubeconfig_text(const char *context, const char *server, const char *ca_pem,
                const char *cert_pem, const char *key_pem) {
        _cleanup_free_ char *ca = base64_encode(ca_pem, strlen(ca_pem)),
                            *cert = base64_encode(cert_pem, strlen(cert_pem)),
                            *key = base64_encode(key_pem, strlen(key_pem));
        _cleanup_json_ json_t *v = NULL;

        if (!ca || !cert || !key)
                return NULL;
        v = json_pack("{s:s, s:s, s:[{s:s, s:{s:s, s:s}}], s:[{s:s, s:{s:s, s:s}}], s:[{s:s, "
                      "s:{s:s, s:s}}], s:s, s:{}}",
                        "apiVersion", "v1", "kind", "Config", "clusters", "name", context,
                        "cluster", "server", server, "certificate-authority-data", ca, "users",
                        "name", context, "user", "client-certificate-data", cert, "client-key-data",
                        key, "contexts", "name", context, "context", "cluster", context, "user",
                        context, "current-context", context, "preferences");
        return v ? yaml_text(v) : NULL;
}

char *kubeconfig_reference_text(const char *context, const char *server, const char *name) {
        _cleanup_json_ json_t *v = json_pack("{s:s, s:s, s:[{s:s, s:{s:s, s:s}}], s:[{s:s, "
                                             "s:{s:s+, s:s+}}], s:[{s:s, s:{s:s, s:s}}], s:s, "
                                             "s:{}}",
                        "apiVersion", "v1", "kind", "Config", "clusters", "name", context,
                        "cluster", "server", server, "certificate-authority", "ca.crt", "users",
                        "name", context, "user", "client-certificate", name, ".crt", "client-key",
                        name, ".key", "contexts", "name", context, "context", "cluster", context,
                        "user", context, "current-context", context, "preferences");
        return v ? yaml_text(v) : NULL;
}

/* ca: "ca" or "store-ca", whose pair is among the files. */
static int issue(struct cluster_files *f, const char *ca, const struct pki_subject *subject,
                unsigned usage, char **ret_cert, char **ret_key) {
        _cleanup_free_ char *crt = strformat("%s.crt", ca), *key = strformat("%s.key", ca);

        return crt && key ? pki_issue(cluster_file_text(f, crt), cluster_file_text(f, key), subject,
                                            usage, f->life_s ? f->life_s : CLUSTER_LIFE_S,
                                            ret_cert, ret_key)
                          : -ENOMEM;
}

/* Adds NAME.crt and NAME.key, of which this takes the texts. */
static int add_both(struct cluster_files *f, const char *name, char *cert_pem, char *key_pem) {
        _cleanup_free_ char *crt = strformat("%s.crt", name), *key = strformat("%s.key", name),
                            *cert_left = cert_pem, *key_left = key_pem;
        int r;

        if (!crt || !key)
                return -ENOMEM;
        r = add(f, crt, TAKE_PTR(cert_left), PUBLIC);
        if (r < 0)
                return r;
        return add(f, key, TAKE_PTR(key_left), SECRET);
}

static int add_authority(struct cluster_files *f, const char *name, const char *cn) {
        char *cert = NULL, *key = NULL;
        int r = pki_ca_new(cn, CLUSTER_CA_DAYS, &cert, &key);

        return r < 0 ? r : add_both(f, name, cert, key);
}

static int add_pair(struct cluster_files *f, const char *ca, const char *name,
                const struct pki_subject *subject, unsigned usage) {
        char *cert = NULL, *key = NULL;
        int r = issue(f, ca, subject, usage, &cert, &key);

        return r < 0 ? r : add_both(f, name, cert, key);
}

/* For a daemon: certificate and key are files of their own. */
static int add_reference(struct cluster_files *f, const char *name, const char *server,
                const char *cn) {
        _cleanup_free_ char *file = strformat("%s.kubeconfig", name);
        int r = file ? add_pair(f, "ca", name, &(struct pki_subject){.cn = cn}, PKI_USAGE_CLIENT)
                     : -ENOMEM;

        return r < 0 ? r : add(f, file, kubeconfig_reference_text("keelson", server, name), PUBLIC);
}

static int add_kubeconfig(struct cluster_files *f, const char *file, const char *context,
                const char *server, const char *cn, const char *organization) {
        const char *organizations[] = {organization, NULL};
        const struct pki_subject subject = {
                        .cn = cn, .organizations = organization ? organizations : NULL};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        int r = issue(f, "ca", &subject, PKI_USAGE_CLIENT, &cert, &key);

        if (r < 0)
                return r;
        return add(f, file,
                        kubeconfig_text(context, server, cluster_file_text(f, "ca.crt"), cert, key),
                        SECRET);
}

/* The first address of the first range of services is the API's own. */
static const char *first_service_address(
                const struct cluster_spec *spec, char ret[static ADDRESS_TEXT_SIZE]) {
        struct address a = spec->ranges->services.items[0].range.first;

        address_next(&a);
        return address_text(&a, ret);
}

static int add_server(struct cluster_files *f, const struct cluster_spec *spec) {
        static const char *const own_names[] = {"kubernetes", "kubernetes.default",
                        "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
                        "localhost"};
        _cleanup_free_ const char *
                        *names = calloc(ELEMENTS(own_names) +
                                                        strv_length((char *const *)spec->names) + 1,
                                       sizeof(char *)),
                       **addresses = calloc(strv_length((char *const *)spec->addresses) + 4,
                                       sizeof(char *));
        char service[ADDRESS_TEXT_SIZE];
        size_t n = 0, m = 0;

        if (!names || !addresses)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(own_names); i++)
                names[n++] = own_names[i];
        for (const char *const *x = spec->names; x && *x; x++)
                names[n++] = *x;
        addresses[m++] = "127.0.0.1";
        addresses[m++] = "::1";
        addresses[m++] = first_service_address(spec, service);
        for (const char *const *x = spec->addresses; x && *x; x++)
                addresses[m++] = *x;
        return add_pair(f, "ca", "kapid",
                        &(struct pki_subject){.cn = "kapid",
                                        .dns_names = names,
                                        .ip_addresses = addresses},
                        PKI_USAGE_SERVER);
}

static int add_peer(struct cluster_files *f, const struct cluster_spec *spec) {
        static const char *const names[] = {"localhost", NULL};
        _cleanup_free_ const char **addresses =
                        calloc(strv_length((char *const *)spec->addresses) + 2, sizeof(char *));
        size_t n = 0;

        if (!addresses)
                return -ENOMEM;
        addresses[n++] = "127.0.0.1";
        for (const char *const *x = spec->addresses; x && *x; x++)
                addresses[n++] = *x;
        return add_pair(f, "store-ca", "peer",
                        &(struct pki_subject){.cn = STORE_MEMBER_NAME,
                                        .dns_names = names,
                                        .ip_addresses = addresses},
                        PKI_USAGE_SERVER | PKI_USAGE_CLIENT);
}

static int add_store(struct cluster_files *f, const struct cluster_spec *spec) {
        int r = add_authority(f, "store-ca", "keelson store");

        if (r < 0)
                return r;
        r = add_pair(f, "store-ca", "store", &(struct pki_subject){.cn = STORE_CLIENT_NAME},
                        PKI_USAGE_CLIENT);
        return r < 0 ? r : add_peer(f, spec);
}

int cluster_files_make_store(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p) {
        _cleanup_cluster_ struct cluster_files f = {.life_s = spec->life_s};
        int r = add_store(&f, spec);

        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "cannot make the store's certificates: %s (are the addresses "
                                "right?)",
                                strerror(-r));
        *ret = f;
        f = (struct cluster_files){0};
        return 0;
}

static int add_front_proxy(struct cluster_files *f, const struct cluster_spec *spec) {
        int r = add_authority(f, "front-proxy-ca", "keelson front proxy");

        return r < 0 ? r
                     : add_pair(f, "front-proxy-ca", "front-proxy-client",
                                       &(struct pki_subject){.cn = FRONT_PROXY_NAME},
                                       PKI_USAGE_CLIENT);
}

int cluster_files_make_front_proxy(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p) {
        _cleanup_cluster_ struct cluster_files f = {.life_s = spec->life_s};
        int r = add_front_proxy(&f, spec);

        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "cannot make the certificate for extension servers: %s",
                                strerror(-r));
        *ret = f;
        f = (struct cluster_files){0};
        return 0;
}

static int add_machine(struct cluster_files *f, const struct cluster_spec *spec) {
        int r = add_server(f, spec);

        return r < 0 ? r : add_peer(f, spec);
}

static int add_authorities(struct cluster_files *f, const char *ca_cert, const char *ca_key,
                const char *store_ca_cert, const char *store_ca_key) {
        int r = add_both(f, "ca", strdup(ca_cert), strdup(ca_key));

        return r < 0 ? r : add_both(f, "store-ca", strdup(store_ca_cert), strdup(store_ca_key));
}

/* The files behind the first n: their texts move. */
static int keep_behind(struct cluster_files *f, size_t n, struct cluster_files *ret) {
        struct cluster_file *items = calloc(f->count - n, sizeof(*items));

        if (!items)
                return -ENOMEM;
        memcpy(items, f->items + n, (f->count - n) * sizeof(*items));
        *ret = (struct cluster_files){.items = items, .count = f->count - n};
        f->count = n;
        return 0;
}

int cluster_files_make_machine(const struct cluster_spec *spec, const char *ca_cert,
                const char *ca_key, const char *store_ca_cert, const char *store_ca_key,
                struct cluster_files *ret, struct problem *p) {
        _cleanup_cluster_ struct cluster_files f = {.life_s = spec->life_s};
        size_t authorities;
        int r = add_authorities(&f, ca_cert, ca_key, store_ca_cert, store_ca_key);

        if (r < 0)
                return r;
        authorities = f.count;
        r = add_machine(&f, spec);
        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "cannot make the machine's certificates: %s (are the authorities "
                                "and addresses right?)",
                                strerror(-r));
        return keep_behind(&f, authorities, ret);
}

/* The key that signs the tokens of service accounts. */
static int add_account_key(struct cluster_files *f, const struct cluster_spec *spec) {
        _cleanup_free_ char *private = NULL, *public = NULL;
        int r = pki_key_new(&private);

        if (r < 0)
                return r;
        r = pki_public_key(private, &public);
        if (r < 0)
                return r;
        r = add(f, "sa.key", TAKE_PTR(private), SECRET);
        if (r < 0)
                return r;
        return add(f, "sa.pub", TAKE_PTR(public), PUBLIC);
}

/* The key with which kapid reaches the nodes. */
static int add_ssh_key(struct cluster_files *f, const struct cluster_spec *spec) {
        _cleanup_free_ char *private = NULL, *public = NULL;
        int r = ssh_key_pair_new("keelson-kapid", &private, &public);

        if (r < 0)
                return r;
        r = add(f, "ssh_kapid", TAKE_PTR(private), SECRET);
        if (r < 0)
                return r;
        return add(f, "ssh_kapid.pub", TAKE_PTR(public), PUBLIC);
}

static int add_root(struct cluster_files *f, const struct cluster_spec *spec) {
        return add_authority(f, "ca", "keelson");
}

static int add_kubeconfigs(struct cluster_files *f, const struct cluster_spec *spec) {
        _cleanup_free_ char *local = strformat("https://127.0.0.1:%u", spec->port);
        static const char *const daemons[][2] = {
                        {"kreconciled", "system:kube-controller-manager"},
                        {"kschedd", "system:kube-scheduler"},
                        {"kgitd", "system:keelson:kgitd"},
        };

        if (!local)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(daemons); i++) {
                int r = add_reference(f, daemons[i][0], local, daemons[i][1]);

                if (r < 0)
                        return r;
        }
        return add_kubeconfig(f, "admin.kubeconfig", spec->context, spec->server,
                        "kubernetes-admin", "system:masters");
}

static int add_all(struct cluster_files *f, const struct cluster_spec *spec) {
        /* ca.crt first: files are written from the last to the first, so that its presence marks a
         * complete set. */
        static int (*const steps[])(struct cluster_files * f, const struct cluster_spec *spec) = {
                        add_root, add_server, add_store, add_front_proxy, add_account_key,
                        add_ssh_key, add_kubeconfigs};

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int r = steps[i](f, spec);

                if (r < 0)
                        return r;
        }
        return 0;
}

int cluster_files_make(
                const struct cluster_spec *spec, struct cluster_files *ret, struct problem *p) {
        _cleanup_cluster_ struct cluster_files f = {.life_s = spec->life_s};
        int r = add_all(&f, spec);

        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "cannot make the cluster's certificates: %s (are the ranges, names "
                                "and addresses right?)",
                                strerror(-r));
        *ret = f;
        f = (struct cluster_files){0};
        return 0;
}
