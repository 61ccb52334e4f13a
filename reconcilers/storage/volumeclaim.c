/* PersistentVolumeClaims: each is bound to one volume, in two writes that may be repeated: the
 * volume's claimRef gets the claim's uid, then the claim's volumeName gets the volume. Between the
 * two, and after a crash, the volume is found again by its claimRef. Without a volume one is
 * provisioned; with a class that waits for the first consumer, once kschedd has chosen the node. */
#include "lib/object.h"
#include "lib/quantity.h"
#include "reconcilers/storage/storage.h"

#define CLAIMS "persistentvolumeclaims"
#define VOLUMES "persistentvolumes"

static void wake_all(const struct world *w, const struct wake *out, enum world_index index,
                const char *value) {
        _cleanup_objects_ struct objects claims = {0};

        world_list(w, index, value, &claims);
        for (size_t i = 0; i < claims.count; i++)
                wake_object(out, claims.items[i]);
}

static void wake_claim_of(const struct wake *out, const json_t *volume) {
        if (json_at(volume, "spec.claimRef"))
                wake_key(out, json_str_or(volume, "spec.claimRef.namespace", ""),
                                json_str_or(volume, "spec.claimRef.name", ""));
}

static bool is_free(const json_t *volume) {
        return volume && !json_at(volume, "spec.claimRef") &&
               streq(json_str_or(volume, "status.phase", ""), "Available");
}

static void volumeclaim_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_CLAIMS && !gone)
                wake_object(out, object);
        else if (kind == WORLD_VOLUMES) {
                wake_claim_of(out, old);
                wake_claim_of(out, object);
                wake_all(w, out, WORLD_CLAIMS_BY_VOLUME, object_name(object));
                if (!gone && is_free(object) && !is_free(old))
                        wake_all(w, out, WORLD_CLAIMS_WAITING_BY_CLASS, volume_class(object));
        } else if (kind == WORLD_CLASSES && !gone) {
                wake_all(w, out, WORLD_CLAIMS_WAITING_BY_CLASS, object_name(object));
                wake_all(w, out, WORLD_CLAIMS_WAITING_BY_CLASS, "");
        }
}

static bool is_bound(const json_t *claim) {
        return object_annotation(claim, VOLUME_BIND_COMPLETED) != NULL;
}

static void bind_volume(const json_t *volume, const json_t *claim, struct actions *a) {
        json_t *body = json_pack("{s:{s:{s:s, s:s, s:s, s:s, s:s, s:s}}}", "spec", "claimRef",
                        "apiVersion", "v1", "kind", "PersistentVolumeClaim", "namespace",
                        object_namespace(claim), "name", object_name(claim), "uid",
                        object_uid(claim), "resourceVersion",
                        json_str_or(claim, "metadata.resourceVersion", ""));

        assert(body);
        if (!json_at(volume, "spec.claimRef"))
                assert(json_object_set_new(body, "metadata",
                                       json_pack("{s:{s:s}}", "annotations",
                                                       VOLUME_BOUND_BY_CONTROLLER, "yes")) >= 0);
        action_patch(a, VOLUMES, volume, NULL, body);
}

static void bind_claim(const json_t *volume, const json_t *claim, struct actions *a) {
        bool chosen = !*json_str_or(claim, "spec.volumeName", "");
        json_t *annotations = json_pack("{s:s}", VOLUME_BIND_COMPLETED, "yes");

        assert(annotations);
        if (chosen)
                json_object_set_new(annotations, VOLUME_BOUND_BY_CONTROLLER, json_string("yes"));
        action_patch(a, CLAIMS, claim, NULL,
                        json_pack("{s:{s:o}, s:{s:s}}", "metadata", "annotations", annotations,
                                        "spec", "volumeName", object_name(volume)));
        if (chosen && volume_is_ours(volume))
                action_event(a, claim, "Normal", "ProvisioningSucceeded",
                                "Successfully provisioned volume %s using %s", object_name(volume),
                                object_annotation(volume, VOLUME_PROVISIONED_BY));
}

static void bind(const json_t *volume, const json_t *claim, struct actions *a) {
        if (!volume_is_bound_to(volume, claim))
                bind_volume(volume, claim, a);
        else
                bind_claim(volume, claim, a);
}

/* The class that is marked as the default, the newest of several. */
static const json_t *default_class(const struct world *w) {
        _cleanup_objects_ struct objects classes = {0};
        const json_t *found = NULL;

        world_all(w, WORLD_CLASSES, &classes);
        for (size_t i = 0; i < classes.count; i++) {
                const json_t *c = classes.items[i];
                const char *mark =
                                object_annotation(c, "storageclass.kubernetes.io/is-default-class");

                if (mark && streq(mark, "true") &&
                                (!found || strcmp(json_str_or(c, "metadata.creationTimestamp", ""),
                                                           json_str_or(found,
                                                                           "metadata."
                                                                           "creationTimestamp",
                                                                           "")) > 0))
                        found = c;
        }
        return found;
}

/* No volume fits: makes one, or reports the reason for waiting. */
static void plan_missing(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        bool named = json_at(claim, "spec.storageClassName") ||
                     object_annotation(claim, VOLUME_CLASS);

        if (!named) {
                class = default_class(w);
                /* The default class came after the claim. */
                if (class)
                        action_patch(a, CLAIMS, claim, NULL,
                                        json_pack("{s:{s:s}}", "spec", "storageClassName",
                                                        object_name(class)));
        }
        if (!class && !*volume_class(claim))
                action_event(a, claim, "Normal", "FailedBinding",
                                "no persistent volumes available for this claim and no storage "
                                "class is set");
        else if (!class)
                action_event(a, claim, "Warning", "ProvisioningFailed",
                                "storageclass.storage.k8s.io \"%s\" not found",
                                volume_class(claim));
        else if (named)
                storage_provision(w, claim, class, a);
}

static void plan_unbound(const struct world *w, const json_t *claim, struct actions *a) {
        const json_t *class = *volume_class(claim) ? world_get(w, WORLD_CLASSES, NULL,
                                                                     volume_class(claim))
                                                   : NULL;
        bool waits = streq(json_str_or(class, "volumeBindingMode", ""), "WaitForFirstConsumer");
        const char *selected = object_annotation(claim, VOLUME_SELECTED_NODE);
        const json_t *node = waits && selected ? world_get(w, WORLD_NODES, NULL, selected) : NULL;
        const json_t *volume = volume_kept_for(w, claim);

        if (!volume && (!waits || node))
                volume = volume_best_for(w, claim, node);
        if (volume)
                bind(volume, claim, a);
        else if (waits && !selected)
                action_event(a, claim, "Normal", "WaitForFirstConsumer",
                                "waiting for first consumer to be created before binding");
        else
                plan_missing(w, claim, class, a);
}

/* The claim names its volume. */
static void plan_named(const struct world *w, const json_t *claim, struct actions *a) {
        const char *name = json_str_or(claim, "spec.volumeName", ""), *why;
        const json_t *volume = world_get(w, WORLD_VOLUMES, NULL, name);

        if (!volume)
                return;
        why = json_at(volume, "spec.claimRef") ? NULL : volume_mismatch(volume, claim);
        if (why)
                action_event(a, claim, "Warning", "VolumeMismatch",
                                "Cannot bind to requested volume \"%s\": %s", name, why);
        else if (!json_at(volume, "spec.claimRef") || volume_is_for(volume, claim))
                bind(volume, claim, a);
        else
                action_event(a, claim, "Warning", "FailedBinding",
                                "volume \"%s\" already bound to a different claim.", name);
}

static bool is_limited(const json_t *volume) {
        const char *how = object_annotation(volume, VOLUME_SIZE_LABEL);

        return how && !streq(how, "unlimited");
}

/* A claim that asks for more than its volume has. */
static void plan_expansion(const json_t *volume, const json_t *claim, struct actions *a) {
        const json_t *wanted = json_at(claim, "spec.resources.requests.storage");
        int order;

        if (quantity_compare(wanted, json_at(volume, "spec.capacity.storage"), &order) < 0 ||
                        order <= 0)
                return;
        if (!volume_is_ours(volume)) {
                action_event(a, claim, "Normal", "ExternalExpanding",
                                "waiting for an external controller to expand this PVC");
                return;
        }
        action_patch(a, VOLUMES, volume, NULL,
                        json_pack("{s:{s:{s:O}}}", "spec", "capacity", "storage",
                                        json_unconst(wanted)));
        action_event(a, claim, "Normal", "VolumeResizeSuccessful", "Resize volume succeeded%s",
                        is_limited(volume) ? "; the node's agent raises the limit of its folder"
                                           : ": the size of its folder is not limited");
}

/* Why a bound claim is lost; NULL: it is not. */
static const char *lost_reason(
                const json_t *volume, const json_t *claim, const char **ret_message) {
        if (!*json_str_or(claim, "spec.volumeName", "")) {
                *ret_message = "Bound claim has lost reference to PersistentVolume. Data on the "
                               "volume is lost!";
                return "ClaimLost";
        }
        if (!volume) {
                *ret_message = "Bound claim has lost its PersistentVolume. Data on the volume is "
                               "lost!";
                return "ClaimLost";
        }
        if (!json_at(volume, "spec.claimRef") || volume_is_for(volume, claim))
                return NULL;
        *ret_message = "Two claims are bound to the same volume, this one is bound incorrectly";
        return "ClaimMisbound";
}

static const json_t *volume_of(const struct world *w, const json_t *claim) {
        const char *name = json_str_or(claim, "spec.volumeName", "");

        return *name ? world_get(w, WORLD_VOLUMES, NULL, name) : NULL;
}

static void plan_bound(const struct world *w, const json_t *claim, struct actions *a) {
        const json_t *volume = volume_of(w, claim);
        const char *message = "", *reason = lost_reason(volume, claim, &message);

        if (reason && !streq(json_str_or(claim, "status.phase", ""), "Lost"))
                action_event(a, claim, "Warning", reason, "%s", message);
        else if (!reason && !volume_is_bound_to(volume, claim))
                bind_volume(volume, claim, a);
        else if (!reason)
                plan_expansion(volume, claim, a);
}

static void volumeclaim_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *claim = world_get_key(w, WORLD_CLAIMS, name);

        if (!claim || object_is_deleting(claim))
                return;
        if (is_bound(claim))
                plan_bound(w, claim, a);
        else if (*json_str_or(claim, "spec.volumeName", ""))
                plan_named(w, claim, a);
        else
                plan_unbound(w, claim, a);
}

static json_t *volumeclaim_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *claim = world_get_key(w, WORLD_CLAIMS, name), *volume, *capacity;
        const char *message;
        json_t *status;

        if (!claim || !is_bound(claim))
                return NULL;
        volume = volume_of(w, claim);
        status = json_deep_copy(json_object_get(claim, "status"));
        if (!status)
                status = json_object();
        assert(status);
        if (lost_reason(volume, claim, &message)) {
                json_object_set_new(status, "phase", json_string("Lost"));
                json_object_del(status, "capacity");
                json_object_del(status, "accessModes");
        } else if (volume_is_bound_to(volume, claim)) {
                capacity = json_at(volume, "spec.capacity");
                json_object_set_new(status, "phase", json_string("Bound"));
                json_object_set(status, "capacity", json_unconst(capacity));
                json_object_set(status, "accessModes",
                                json_unconst(json_at(volume, "spec.accessModes")));
        }
        return status;
}

const struct controller volumeclaim_controller = {
                .name = "volumeclaim",
                .primary = WORLD_CLAIMS,
                .kinds = WORLD_BIT(WORLD_CLAIMS) | WORLD_BIT(WORLD_VOLUMES) |
                         WORLD_BIT(WORLD_CLASSES),
                .wake = volumeclaim_wake,
                .plan = volumeclaim_plan,
                .report = volumeclaim_report,
};
