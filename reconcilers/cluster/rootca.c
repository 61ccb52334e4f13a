/* Every active namespace has a ConfigMap kube-root-ca.crt: the certificate by which pods know the
 * API server (the reference server's root-ca-cert-publisher). */
#include "lib/object.h"
#include "reconcilers/controller.h"

#define NAME "kube-root-ca.crt"
#define KEY "ca.crt"

static void rootca_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_NAMESPACES && !gone)
                wake_object(out, object);
        else if (kind == WORLD_ROOT_CAS)
                wake_key(out, NULL, object_namespace(object));
}

static void rootca_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, name),
                     *live = world_get(w, WORLD_ROOT_CAS, name, NAME);
        const char *pem = w->config->signing_cert_pem;
        _cleanup_json_ json_t *data = pem ? json_pack("{s:s}", KEY, pem) : NULL;

        if (!data || !ns || object_is_deleting(ns))
                return;
        if (!live)
                action_create(a, "configmaps", name,
                                json_pack("{s:s, s:s, s:{s:s, s:s, s:{s:s}}, s:O}", "apiVersion",
                                                "v1", "kind", "ConfigMap", "metadata", "name", NAME,
                                                "namespace", name, "annotations",
                                                "kubernetes.io/description",
                                                "The CA certificate by which clients in pods know "
                                                "the API server.",
                                                "data", data));
        else if (!object_is_deleting(live) && !json_equal(json_object_get(live, "data"), data)) {
                json_t *body = json_deep_copy(live);

                assert(body);
                json_object_set(body, "data", data);
                action_update(a, "configmaps", live, NULL, body);
        }
}

const struct controller rootca_controller = {
                .name = "rootca",
                .primary = WORLD_NAMESPACES,
                .kinds = WORLD_BIT(WORLD_NAMESPACES) | WORLD_BIT(WORLD_ROOT_CAS),
                .wake = rootca_wake,
                .plan = rootca_plan,
};
