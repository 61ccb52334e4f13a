/* PersistentVolumes: their phase, and what becomes of them when their claim is gone. A volume of
 * our provisioners with the policy Delete is deleted here; it stays in the API until the agent of
 * its node has removed its data (finalizer keelson.dev/volume-data). */
#include "lib/object.h"
#include "reconcilers/pods.h"
#include "reconcilers/storage/storage.h"

#define VOLUMES "persistentvolumes"
#define NO_DELETER \
        "error getting deleter volume plugin for volume \"%s\": no deletable volume " \
        "plugin matched"

static const char *phase_of(const json_t *volume) {
        return json_str_or(volume, "status.phase", "");
}

static void volume_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        _cleanup_objects_ struct objects volumes = {0};
        char key[600];

        if (kind == WORLD_VOLUMES) {
                if (!gone)
                        wake_object(out, object);
                return;
        }
        if (kind == WORLD_CLAIMS) {
                snprintf(key, sizeof(key), "%s/%s", object_namespace(object), object_name(object));
                world_list(w, WORLD_VOLUMES_BY_CLAIM, key, &volumes);
        } else if (kind == WORLD_NODES && (gone || node_readiness_changed(old, object)))
                world_list(w, WORLD_VOLUMES_BY_NODE, object_name(object), &volumes);
        for (size_t i = 0; i < volumes.count; i++)
                wake_object(out, volumes.items[i]);
}

/* The claim that its reference means; NULL: none of that uid. */
static const json_t *claim_of(const struct world *w, const json_t *volume) {
        const json_t *claim = world_get(w, WORLD_CLAIMS,
                        json_str_or(volume, "spec.claimRef.namespace", ""),
                        json_str_or(volume, "spec.claimRef.name", ""));

        return claim && volume_is_bound_to(volume, claim) ? claim : NULL;
}

/* Whether its claim is gone, as far as the cache has it. */
static bool is_released(const struct world *w, const json_t *volume) {
        return *json_str_or(volume, "spec.claimRef.uid", "") && !claim_of(w, volume);
}

static const char *policy_of(const json_t *volume) {
        return json_str_or(volume, "spec.persistentVolumeReclaimPolicy", "Retain");
}

static bool cannot_reclaim(const json_t *volume) {
        return streq(policy_of(volume), "Recycle") ||
               (streq(policy_of(volume), "Delete") &&
                               !object_annotation(volume, VOLUME_PROVISIONED_BY));
}

static void guard_claim_gone(const json_t *volume, struct actions *a) {
        action_guard_absent(a, api_resource(KIND_PERSISTENTVOLUMECLAIMS),
                        json_str_or(volume, "spec.claimRef.namespace", ""),
                        json_str_or(volume, "spec.claimRef.name", ""),
                        json_str_or(volume, "spec.claimRef.uid", ""));
}

static void plan_released(const json_t *volume, struct actions *a) {
        if (cannot_reclaim(volume) && !streq(phase_of(volume), "Failed"))
                action_event(a, volume, "Warning", "VolumeFailedDelete", NO_DELETER,
                                object_name(volume));
        if (!streq(policy_of(volume), "Delete") || !volume_is_ours(volume) ||
                        !streq(phase_of(volume), "Released"))
                return;
        guard_claim_gone(volume, a);
        action_delete(a, VOLUMES, volume, -1, NULL);
}

/* A claim that has chosen another volume: one that was made for it is of no use, any other one is
 * free again. */
static void plan_misbound(const json_t *volume, const json_t *claim, struct actions *a) {
        bool by_us = object_annotation(volume, VOLUME_BOUND_BY_CONTROLLER) != NULL;

        if (volume_is_ours(volume) && streq(policy_of(volume), "Delete"))
                action_delete(a, VOLUMES, volume, -1, NULL);
        else if (by_us)
                action_patch(a, VOLUMES, volume, NULL,
                                json_pack("{s:{s:{s:n}}, s:{s:n}}", "metadata", "annotations",
                                                VOLUME_BOUND_BY_CONTROLLER, "spec", "claimRef"));
        else
                action_patch(a, VOLUMES, volume, NULL,
                                json_pack("{s:{s:{s:n}}}", "spec", "claimRef", "uid"));
}

/* The folder of a volume whose node is gone for good is gone, too. */
static void plan_deleting(const struct world *w, const json_t *volume, struct actions *a) {
        const char *node = object_label(volume, VOLUME_NODE_LABEL);

        if (!object_has_finalizer(volume, VOLUME_DATA_FINALIZER) ||
                        object_has_finalizer(volume, "kubernetes.io/pv-protection"))
                return;
        if (volume_share_folder(volume)) {
                storage_delete_from_share(w, volume, a);
                return;
        }
        if (node && world_get(w, WORLD_NODES, NULL, node))
                return;
        if (node)
                action_guard_absent(a, api_resource(KIND_NODES), NULL, node, NULL);
        action_event(a, volume, "Warning", "VolumeDataLost",
                        "its node %s is gone, and the folder with it", strempty(node));
        storage_remove_finalizer(a, VOLUMES, volume, VOLUME_DATA_FINALIZER);
}

static void volume_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *volume = world_get(w, WORLD_VOLUMES, NULL, name), *claim;
        const char *other;

        if (!volume)
                return;
        if (object_is_deleting(volume)) {
                plan_deleting(w, volume, a);
                return;
        }
        if (is_released(w, volume)) {
                plan_released(volume, a);
                return;
        }
        claim = claim_of(w, volume);
        other = json_str_or(claim, "spec.volumeName", "");
        if (claim && *other && !streq(other, name))
                plan_misbound(volume, claim, a);
}

static const char *wanted_phase(const struct world *w, const json_t *volume) {
        const json_t *claim = claim_of(w, volume);

        if (!*json_str_or(volume, "spec.claimRef.uid", ""))
                return "Available";
        if (claim)
                return streq(json_str_or(claim, "spec.volumeName", ""), object_name(volume))
                                       ? "Bound"
                                       : phase_of(volume);
        /* Released is seen before a volume fails. */
        return cannot_reclaim(volume) && (streq(phase_of(volume), "Released") ||
                                                         streq(phase_of(volume), "Failed"))
                               ? "Failed"
                               : "Released";
}

static json_t *volume_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *volume = world_get(w, WORLD_VOLUMES, NULL, name);
        const char *phase;
        json_t *status;

        if (!volume || object_is_deleting(volume))
                return NULL;
        phase = wanted_phase(w, volume);
        if (!*phase)
                return NULL;
        status = json_deep_copy(json_object_get(volume, "status"));
        if (!status)
                status = json_object();
        assert(status);
        json_object_set_new(status, "phase", json_string(phase));
        json_object_del(status, "message");
        if (streq(phase, "Failed"))
                json_object_set_new(status, "message", json_sprintf(NO_DELETER, name));
        return status;
}

const struct controller volume_controller = {
                .name = "volume",
                .primary = WORLD_VOLUMES,
                .kinds = WORLD_BIT(WORLD_VOLUMES) | WORLD_BIT(WORLD_CLAIMS) |
                         WORLD_BIT(WORLD_NODES),
                .wake = volume_wake,
                .plan = volume_plan,
                .report = volume_report,
};
