/* Every active namespace has a ServiceAccount "default". */
#include "lib/object.h"
#include "reconcilers/controller.h"

static void serviceaccount_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_NAMESPACES && !gone)
                wake_object(out, object);
        else if (kind == WORLD_SERVICEACCOUNTS && gone)
                wake_key(out, NULL, object_namespace(object));
}

static void serviceaccount_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, name);

        if (!ns || object_is_deleting(ns) || world_get(w, WORLD_SERVICEACCOUNTS, name, "default"))
                return;
        action_create(a, "serviceaccounts", name,
                        json_pack("{s:s, s:s, s:{s:s, s:s}}", "apiVersion", "v1", "kind",
                                        "ServiceAccount", "metadata", "name", "default",
                                        "namespace", name));
}

const struct controller serviceaccount_controller = {
                .name = "serviceaccount",
                .primary = WORLD_NAMESPACES,
                .kinds = WORLD_BIT(WORLD_NAMESPACES) | WORLD_BIT(WORLD_SERVICEACCOUNTS),
                .wake = serviceaccount_wake,
                .plan = serviceaccount_plan,
};
