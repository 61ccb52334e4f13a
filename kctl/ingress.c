/* The part of `kctl up` that makes the ingress. Nothing runs before a node has the label
 * node-role.keelson.dev/ingress. */
#include "kctl/ingress.h"

#include "kctl/cluster.h"
#include "kctl/kubeconfig-parts.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/json.h"
#include "lib/object.h"
#include "lib/pki-renew.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

#define SERVER_ANNOTATION "keelson.dev/server"

static int apply(struct kctl *k, const json_t *object, struct problem *p) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const struct kind_facts *kind;
        _cleanup_free_ char *path = NULL;
        int r;

        r = object_split_api_version(object_api_version(object), group, version);
        if (r < 0)
                return r;
        kind = kind_facts_by_kind(group, object_kind(object));
        assert(kind); /* of our own text */
        path = api_path(&kind->resource, object_namespace(object), object_name(object),
                        /* subresource= */ NULL, "fieldManager=kctl&force=true");
        if (!path)
                return -ENOMEM;
        return api_patch_request(k->client, path, API_PATCH_APPLY, object, /* ret= */ NULL, p);
}

/* The Secret, NULL when there is none. */
static int get_secret(struct kctl *k, json_t **ret, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_SECRETS), "kube-system", "kingressd",
                        /* subresource= */ NULL, /* query= */ NULL);
        int r = path ? api_get(k->client, path, ret, p) : -ENOMEM;

        if (r != -ENOENT)
                return r;
        problem_done(p);
        *ret = NULL;
        return 0;
}

int ingress_certificate(struct kctl *k, char **ret_cert, char **ret_ca, struct problem *p) {
        _cleanup_json_ json_t *secret = NULL;
        _cleanup_(kubeconfig_parts_done) struct kubeconfig_parts parts = {0};
        _cleanup_free_ char *text = NULL;
        void *bytes;
        size_t n;
        int r = get_secret(k, &secret, p);

        if (r < 0 || !secret)
                return r;
        if (base64_decode(json_str_or(secret, "data.kubeconfig", ""), &bytes, &n) < 0)
                return 0;
        text = strndup(bytes, n);
        free(bytes);
        if (!text)
                return -ENOMEM;
        if (kubeconfig_take_apart(text, &parts, p) < 0 || !parts.cert) {
                problem_done(p);
                return 0;
        }
        *ret_cert = TAKE_PTR(parts.cert);
        if (ret_ca)
                *ret_ca = TAKE_PTR(parts.ca);
        return 1;
}

/* Whether the Secret is there, is for this server and is not due. 1, 0, or an error. */
static int has_credentials(struct kctl *k, const char *server, struct problem *p) {
        _cleanup_json_ json_t *secret = NULL;
        _cleanup_pki_view_ struct pki_view view = {0};
        _cleanup_free_ char *cert = NULL;
        int r = get_secret(k, &secret, p);

        if (r < 0 || !secret ||
                        !streq(strempty(object_annotation(secret, SERVER_ANNOTATION)), server))
                return r;
        r = ingress_certificate(k, &cert, /* ret_ca= */ NULL, p);
        if (r <= 0)
                return r;
        return pki_cert_view(cert, &view) >= 0 && pki_life(view.begins_s, view.ends_s,
                                                                  now_wall_us() / 1000000) ==
                                                                  PKI_LIFE_FRESH;
}

static int make_kubeconfig(struct kctl *k, const char *server, const char *ca, const char *ca_key,
                char **ret, struct problem *p) {
        static const char *const organizations[] = {
                        "system:serviceaccounts", "system:serviceaccounts:kube-system", NULL};
        const struct pki_subject subject = {.cn = "system:serviceaccount:kube-system:kingressd",
                        .organizations = organizations};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        int r = pki_issue(ca, ca_key, &subject, PKI_USAGE_CLIENT,
                        cluster_life_s(k->flags.certificate_life_us), &cert, &key);

        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "cannot make the certificate of kingressd: %s (is "
                                "/etc/keelson/pki/ca.key whole?)",
                                strerror(-r));
        *ret = kubeconfig_text("keelson", server, ca, cert, key);
        explicit_bzero(key, strlen(key));
        return *ret ? 0 : -ENOMEM;
}

static int apply_credentials(struct kctl *k, const char *server, const char *ca,
                const char *ca_key, struct problem *p) {
        _cleanup_json_ json_t *secret = NULL;
        _cleanup_free_ char *text = NULL;
        int r;

        r = make_kubeconfig(k, server, ca, ca_key, &text, p);
        if (r < 0)
                return r;
        secret = json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:{s:s}}", "apiVersion", "v1", "kind",
                        "Secret", "metadata", "name", "kingressd", "namespace", "kube-system",
                        "annotations", SERVER_ANNOTATION, server, "stringData", "kubeconfig", text);
        explicit_bzero(text, strlen(text));
        if (!secret)
                return -ENOMEM;
        return apply(k, secret, p);
}

int ingress_renew(struct kctl *k, const char *ca, const char *ca_key, struct problem *p) {
        _cleanup_json_ json_t *secret = NULL;
        const char *server;
        int r = get_secret(k, &secret, p);

        if (r < 0 || !secret)
                return r;
        server = object_annotation(secret, SERVER_ANNOTATION);
        if (isempty(server))
                return 0; /* not ours */
        r = apply_credentials(k, server, ca, ca_key, p);
        return r < 0 ? r : 1;
}

/* The CA's key is read only where it is needed. */
static int make_credentials(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p) {
        _cleanup_buf_ struct buf ca_key = {0};
        int r = machine_run(m, "cat /etc/keelson/pki/ca.key", /* input= */ NULL, 0, 30, &ca_key, p);

        if (r < 0)
                return r;
        r = apply_credentials(k, server, ca, strempty(ca_key.data), p);
        if (ca_key.data)
                explicit_bzero(ca_key.data, ca_key.size);
        return r;
}

int kctl_install_ingress(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r;

        r = has_credentials(k, server, p);
        if (r < 0)
                return r;
        if (r == 0) {
                r = make_credentials(k, m, server, ca, p);
                if (r < 0)
                        return r;
        }
        r = yaml_parse(text_kingressd_yaml, strlen(text_kingressd_yaml), &docs, p);
        if (r < 0)
                return r;
        for (size_t i = 0; i < docs.count; i++) {
                r = apply(k, docs.items[i].value, p);
                if (r < 0)
                        return r;
        }
        return 0;
}
