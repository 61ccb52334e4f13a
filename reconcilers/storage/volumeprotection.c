/* A volume that is deleted while it is bound stays until its claim is gone: its finalizer
 * kubernetes.io/pv-protection is removed then. */
#include "lib/object.h"
#include "reconcilers/storage/storage.h"

#define FINALIZER "kubernetes.io/pv-protection"

static void volumeprotection_wake(const struct world *w, const struct wake *out,
                enum world_kind kind, const json_t *old, const json_t *object, bool gone) {
        _cleanup_objects_ struct objects volumes = {0};
        char key[600];

        if (kind == WORLD_VOLUMES) {
                if (!gone && object_is_deleting(object))
                        wake_object(out, object);
                return;
        }
        snprintf(key, sizeof(key), "%s/%s", object_namespace(object), object_name(object));
        if (gone)
                world_list(w, WORLD_VOLUMES_BY_CLAIM, key, &volumes);
        for (size_t i = 0; i < volumes.count; i++)
                wake_object(out, volumes.items[i]);
}

static void volumeprotection_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *volume = world_get(w, WORLD_VOLUMES, NULL, name), *claim;

        if (!volume || !object_is_deleting(volume) || !object_has_finalizer(volume, FINALIZER))
                return;
        claim = world_get(w, WORLD_CLAIMS, json_str_or(volume, "spec.claimRef.namespace", ""),
                        json_str_or(volume, "spec.claimRef.name", ""));
        if (claim && volume_is_bound_to(volume, claim))
                return;
        if (*json_str_or(volume, "spec.claimRef.uid", ""))
                action_guard_absent(a, api_resource(KIND_PERSISTENTVOLUMECLAIMS),
                                json_str_or(volume, "spec.claimRef.namespace", ""),
                                json_str_or(volume, "spec.claimRef.name", ""),
                                json_str_or(volume, "spec.claimRef.uid", ""));
        storage_remove_finalizer(a, "persistentvolumes", volume, FINALIZER);
}

const struct controller volumeprotection_controller = {
                .name = "volumeprotection",
                .primary = WORLD_VOLUMES,
                .kinds = WORLD_BIT(WORLD_VOLUMES) | WORLD_BIT(WORLD_CLAIMS),
                .wake = volumeprotection_wake,
                .plan = volumeprotection_plan,
};
