/* A claim that is deleted while pods use it stays until the last of them has ended: its finalizer
 * kubernetes.io/pvc-protection is removed then. A pod that comes later is not placed, because its
 * claim is being deleted. */
#include "lib/object.h"
#include "reconcilers/pods.h"
#include "reconcilers/storage/storage.h"

#define FINALIZER "kubernetes.io/pvc-protection"

/* Calls func for the name of each claim of the pod, until it returns true. */
static bool any_claim(const json_t *pod, bool (*func)(const char *claim, void *userdata),
                void *userdata) {
        const json_t *volume;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, volume) {
                _cleanup_free_ char *name = NULL;

                assert(pod_claim_name(pod, volume, &name) >= 0);
                if (name && func(name, userdata))
                        return true;
        }
        return false;
}

struct waking {
        const struct world *w;
        const struct wake *out;
        const char *ns;
};

static bool wake_deleted(const char *claim, void *userdata) {
        struct waking *v = userdata;
        const json_t *object = world_get(v->w, WORLD_CLAIMS, v->ns, claim);

        if (object && object_is_deleting(object))
                wake_object(v->out, object);
        return false;
}

static void claimprotection_wake(const struct world *w, const struct wake *out,
                enum world_kind kind, const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_CLAIMS && !gone && object_is_deleting(object))
                wake_object(out, object);
        else if (kind == WORLD_PODS && (gone || pod_is_finished(object)))
                (void)any_claim(object, wake_deleted,
                                &(struct waking){w, out, object_namespace(object)});
}

static bool is_name(const char *claim, void *userdata) {
        return streq(claim, userdata);
}

/* Pods that have ended do not count, nor do those without a node: they never had it. */
static bool is_used(const struct world *w, const json_t *claim) {
        _cleanup_objects_ struct objects pods = {0};

        world_list(w, WORLD_PODS_BY_NS, object_namespace(claim), &pods);
        for (size_t i = 0; i < pods.count; i++)
                if (*json_str_or(pods.items[i], "spec.nodeName", "") &&
                                !pod_is_finished(pods.items[i]) &&
                                any_claim(pods.items[i], is_name, (void *)object_name(claim)))
                        return true;
        return false;
}

static void claimprotection_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *claim = world_get_key(w, WORLD_CLAIMS, name);

        if (!claim || !object_is_deleting(claim) || !object_has_finalizer(claim, FINALIZER) ||
                        is_used(w, claim))
                return;
        storage_remove_finalizer(a, "persistentvolumeclaims", claim, FINALIZER);
}

const struct controller claimprotection_controller = {
                .name = "claimprotection",
                .primary = WORLD_CLAIMS,
                .kinds = WORLD_BIT(WORLD_CLAIMS) | WORLD_BIT(WORLD_PODS),
                .wake = claimprotection_wake,
                .plan = claimprotection_plan,
};
