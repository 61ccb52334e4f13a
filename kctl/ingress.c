/* The part of `kctl up` that makes the ingress. Nothing runs before a node has the label
 * node-role.keelson.dev/ingress. */
#include "kctl/ingress.h"

#include "kctl/cluster.h"
#include "kctl/texts.h"
#include "lib/buf.h"
#include "lib/object.h"
#include "lib/pki.h"
#include "lib/timefmt.h"
#include "lib/yaml.h"

#define EXPIRES "keelson.dev/expires"
#define YEAR_US (UINT64_C(365) * 24 * 3600 * 1000000)

enum { CREDENTIAL_DAYS = 1825 };

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

/* Whether the Secret is there, is for this server and lasts another year. 1, 0, or an error. */
static int has_credentials(struct kctl *k, const char *server, struct problem *p) {
        _cleanup_free_ char *path = api_path(api_resource(KIND_SECRETS), "kube-system", "kingressd",
                        /* subresource= */ NULL, /* query= */ NULL);
        _cleanup_json_ json_t *secret = NULL;
        uint64_t expires;
        int r;

        if (!path)
                return -ENOMEM;
        r = api_get(k->client, path, &secret, p);
        if (r == -ENOENT) {
                problem_done(p);
                return 0;
        }
        if (r < 0)
                return r;
        return streq(strempty(object_annotation(secret, "keelson.dev/server")), server) &&
               time_parse(strempty(object_annotation(secret, EXPIRES)), &expires) >= 0 &&
               expires > now_wall_us() + YEAR_US;
}

static int make_kubeconfig(struct machine *m, const char *server, const char *ca, char **ret,
                struct problem *p) {
        static const char *const organizations[] = {
                        "system:serviceaccounts", "system:serviceaccounts:kube-system", NULL};
        const struct pki_subject subject = {.cn = "system:serviceaccount:kube-system:kingressd",
                        .organizations = organizations};
        _cleanup_free_ char *cert = NULL, *key = NULL;
        _cleanup_buf_ struct buf ca_key = {0};
        int r;

        r = machine_run(m, "cat /etc/keelson/pki/ca.key", /* input= */ NULL, 0, 30, &ca_key, p);
        if (r < 0)
                return r;
        r = pki_issue(ca, strempty(ca_key.data), &subject, PKI_USAGE_CLIENT, CREDENTIAL_DAYS, &cert,
                        &key);
        if (ca_key.data)
                explicit_bzero(ca_key.data, ca_key.size);
        if (r < 0)
                return problem_set(p, r, 0, NULL,
                                "cannot make the certificate of kingressd: %s (is "
                                "/etc/keelson/pki/ca.key whole?)",
                                strerror(-r));
        *ret = kubeconfig_text("keelson", server, ca, cert, key);
        explicit_bzero(key, strlen(key));
        return *ret ? 0 : -ENOMEM;
}

static int apply_credentials(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p) {
        _cleanup_json_ json_t *secret = NULL;
        _cleanup_free_ char *text = NULL;
        char expires[TIMEFMT_SIZE];
        int r;

        r = make_kubeconfig(m, server, ca, &text, p);
        if (r < 0)
                return r;
        time_format(now_wall_us() + CREDENTIAL_DAYS / 365 * YEAR_US, expires);
        secret = json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s, s:s}}, s:{s:s}}", "apiVersion", "v1",
                        "kind", "Secret", "metadata", "name", "kingressd", "namespace",
                        "kube-system", "annotations", EXPIRES, expires, "keelson.dev/server",
                        server, "stringData", "kubeconfig", text);
        explicit_bzero(text, strlen(text));
        if (!secret)
                return -ENOMEM;
        return apply(k, secret, p);
}

int kctl_install_ingress(struct kctl *k, struct machine *m, const char *server, const char *ca,
                struct problem *p) {
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r;

        r = has_credentials(k, server, p);
        if (r < 0)
                return r;
        if (r == 0) {
                r = apply_credentials(k, m, server, ca, p);
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
