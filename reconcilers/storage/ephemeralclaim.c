/* The claims of pods' ephemeral volumes: "POD-VOLUME", made from the template in the pod and owned
 * by it, so that they are deleted with it. A claim of that name which another has made is never
 * taken: the pod waits. */
#include "lib/object.h"
#include "reconcilers/pods.h"
#include "reconcilers/storage/storage.h"

static bool has_ephemeral(const json_t *pod) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(pod, "spec.volumes"), i, v)
                if (json_at(v, "ephemeral"))
                        return true;
        return false;
}

static void ephemeralclaim_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_PODS && !gone && !old && has_ephemeral(object))
                wake_object(out, object);
        else if (kind == WORLD_CLAIMS && gone)
                wake_controller(out, object, "", "Pod");
}

static void make_claim(
                const json_t *pod, const json_t *volume, const char *name, struct actions *a) {
        const json_t *template = json_at(volume, "ephemeral.volumeClaimTemplate");
        json_t *metadata = json_deep_copy(json_object_get(template, "metadata"));
        json_t *claim;

        if (!metadata)
                metadata = json_object();
        assert(metadata);
        json_object_set_new(metadata, "name", json_string(name));
        json_object_set_new(metadata, "namespace", json_string(object_namespace(pod)));
        json_object_set_new(metadata, "ownerReferences",
                        json_pack("[o]", controller_ref(pod, "v1", "Pod")));
        claim = json_pack("{s:s, s:s, s:o, s:O}", "apiVersion", "v1", "kind",
                        "PersistentVolumeClaim", "metadata", metadata, "spec",
                        json_object_get(template, "spec"));
        assert(claim);
        action_create(a, "persistentvolumeclaims", object_namespace(pod), claim);
}

static bool is_owned_by(const json_t *claim, const json_t *pod) {
        const json_t *ref = object_controller_ref(claim);

        return ref && streq(json_str_or(ref, "uid", ""), object_uid(pod));
}

static void ephemeralclaim_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *pod = world_get_key(w, WORLD_PODS, name), *volume, *claim;
        size_t i;

        if (!pod || object_is_deleting(pod) || pod_is_finished(pod))
                return;
        json_array_foreach (json_at(pod, "spec.volumes"), i, volume) {
                _cleanup_free_ char *wanted = NULL;

                if (!json_at(volume, "ephemeral"))
                        continue;
                assert(pod_claim_name(pod, volume, &wanted) >= 0);
                claim = world_get(w, WORLD_CLAIMS, object_namespace(pod), wanted);
                if (!claim)
                        make_claim(pod, volume, wanted, a);
                else if (!is_owned_by(claim, pod))
                        action_event(a, pod, "Warning", "EphemeralVolumeCreationFailed",
                                        "ephemeral volume %s: PVC %s/%s was not created for the "
                                        "pod; rename the pod, or delete the claim",
                                        json_str_or(volume, "name", ""), object_namespace(pod),
                                        wanted);
        }
}

const struct controller ephemeralclaim_controller = {
                .name = "ephemeralclaim",
                .primary = WORLD_PODS,
                .kinds = WORLD_BIT(WORLD_PODS) | WORLD_BIT(WORLD_CLAIMS),
                .wake = ephemeralclaim_wake,
                .plan = ephemeralclaim_plan,
};
