/* Namespaces on their way out: everything in them is deleted, whatever its kind, and when every
 * kind has been asked live and has nothing left, the namespace's own finalizer goes. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/graph.h"

/* Pods take their time to stop; their going wakes us anyway, this is for what no watch tells. */
#define LOOK_AGAIN_US UINT64_C(10000000)
#define FINALIZER "kubernetes"

static bool has_spec_finalizer(const json_t *ns) {
        json_t *f;
        size_t i;

        json_array_foreach (json_at(ns, "spec.finalizers"), i, f)
                if (streq_ptr(json_string_value(f), FINALIZER))
                        return true;
        return false;
}

static json_t *without_finalizer(const json_t *ns) {
        json_t *copy = json_deep_copy(ns), *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(ns, "spec.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), FINALIZER))
                        json_array_append(kept, f);
        assert(copy && json_set_at(copy, "spec.finalizers", kept) >= 0);
        return copy;
}

static void namespace_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (!gone && object_is_deleting(object))
                wake_object(out, object);
}

static void namespace_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *ns = world_get(w, WORLD_NAMESPACES, NULL, name);
        bool content;

        if (!ns || !object_is_deleting(ns) || !has_spec_finalizer(ns) || !w->graph)
                return;
        content = graph_namespace_count(w->graph, name) > 0;
        for (size_t i = 0; i < w->catalogue->count; i++) {
                const struct served *s = w->catalogue->items[i];

                if (!s->present || !s->resource.namespaced)
                        continue;
                if (s->can_delete)
                        action_delete_collection(a, &s->resource, name);
        }
        if (content) {
                actions_requeue(a, LOOK_AGAIN_US);
                return;
        }
        for (size_t i = 0; i < w->catalogue->count; i++)
                if (w->catalogue->items[i]->present && w->catalogue->items[i]->resource.namespaced)
                        action_guard_empty(a, &w->catalogue->items[i]->resource, name);
        action_update(a, "namespaces", ns, "finalize", without_finalizer(ns));
}

const struct controller namespace_controller = {
                .name = "namespace",
                .primary = WORLD_NAMESPACES,
                .kinds = WORLD_BIT(WORLD_NAMESPACES),
                .wake = namespace_wake,
                .plan = namespace_plan,
};
