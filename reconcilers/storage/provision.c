/* A claim and its class become a volume: by the provisioner keelson.dev/local one on a node, here.
 * A class of a provisioner that is not ours leaves it to that program, which finds the claim by an
 * annotation, as in Kubernetes. */
#include "lib/object.h"
#include "lib/selector.h"
#include "reconcilers/pods.h"
#include "reconcilers/storage/storage.h"

/* ---- the node of a local volume ---- */

static uint32_t weight_of(const char *uid, const char *node) {
        uint32_t hash = 2166136261u;

        for (const char *s = uid; *s; s++)
                hash = (hash ^ (unsigned char)*s) * 16777619u;
        for (const char *s = node; *s; s++)
                hash = (hash ^ (unsigned char)*s) * 16777619u;
        /* The last bytes must reach the high bits, too: names differ at their end. */
        hash ^= hash >> 15;
        hash *= 2246822519u;
        return hash ^ (hash >> 13);
}

static bool takes_work(const json_t *node) {
        const json_t *taint;
        size_t i;

        if (json_bool_or(node, "spec.unschedulable", false))
                return false;
        json_array_foreach (json_at(node, "spec.taints"), i, taint)
                if (!streq(json_str_or(taint, "effect", ""), "PreferNoSchedule"))
                        return false;
        return true;
}

static bool has_value(const json_t *values, const char *value) {
        const json_t *v;
        size_t i;

        json_array_foreach (values, i, v)
                if (value && streq(strempty(json_string_value(v)), value))
                        return true;
        return false;
}

/* One of the terms must hold, with all of its expressions; none at all: every node. */
static bool is_allowed(const json_t *class, const json_t *node) {
        const json_t *terms = json_object_get(class, "allowedTopologies"), *term, *e;
        size_t i, k;

        json_array_foreach (terms, i, term) {
                bool all = true;

                json_array_foreach (json_object_get(term, "matchLabelExpressions"), k, e)
                        all &= has_value(json_object_get(e, "values"),
                                        object_label(node, json_str_or(e, "key", "")));
                if (all)
                        return true;
        }
        return json_array_size(terms) == 0;
}

const json_t *storage_node_for(const struct world *w, const char *uid,
                bool (*func)(const json_t *node, const void *userdata), const void *userdata) {
        _cleanup_objects_ struct objects nodes = {0};
        const json_t *best = NULL;

        world_all(w, WORLD_NODES, &nodes);
        for (size_t i = 0; i < nodes.count; i++) {
                const json_t *n = nodes.items[i];

                if (!node_is_ready(n) || object_is_deleting(n) || !func(n, userdata))
                        continue;
                if (!best || weight_of(uid, object_name(n)) > weight_of(uid, object_name(best)))
                        best = n;
        }
        return best;
}

static bool takes_volumes(const json_t *node, const void *userdata) {
        return takes_work(node) && is_allowed(userdata, node);
}

/* ---- what cannot be made ---- */

const char *storage_refusal(const json_t *claim) {
        if (json_at(claim, "spec.dataSource") || json_at(claim, "spec.dataSourceRef"))
                return "the claim has a data source, and there are no snapshots or copies of "
                       "volumes; remove spec.dataSource";
        if (json_at(claim, "spec.selector"))
                return "claim.Spec.Selector is not supported for dynamic provisioning; remove it, "
                       "or create a volume that it selects";
        if (streq(json_str_or(claim, "spec.volumeMode", ""), "Block"))
                return "block devices are not provisioned; use volumeMode: Filesystem";
        return NULL;
}

static const char *local_refusal(const json_t *claim, const json_t *class) {
        const char *why = storage_refusal(claim);
        const json_t *mode;
        size_t i;

        if (why)
                return why;
        json_array_foreach (json_at(claim, "spec.accessModes"), i, mode)
                if (!startswith(strempty(json_string_value(mode)), "ReadWriteOnce"))
                        return "a local volume is on one node; use the access mode ReadWriteOnce "
                               "or ReadWriteOncePod, or a class of " PROVISIONER_NFS;
        if (json_array_size(json_object_get(class, "mountOptions")) > 0)
                return "Mount options are not supported by the provisioner but the StorageClass "
                       "has mount options";
        if (json_object_size(json_object_get(class, "parameters")) > 0)
                return "the StorageClass has parameters, and " PROVISIONER_LOCAL " has none";
        return NULL;
}

/* ---- the volume ---- */

json_t *storage_volume(const json_t *claim, const json_t *class, const char *name) {
        json_t *volume = json_pack("{s:s, s:s, s:{s:s, s:{s:s}, s:[s]}, s:{s:s, s:s, s:s, "
                                   "s:{s:O}, s:O, s:{s:s, s:s, s:s, s:s, s:s, s:s}}}",
                        "apiVersion", "v1", "kind", "PersistentVolume", "metadata", "name", name,
                        "annotations", VOLUME_PROVISIONED_BY, json_str_or(class, "provisioner", ""),
                        "finalizers", VOLUME_DATA_FINALIZER, "spec", "storageClassName",
                        object_name(class), "persistentVolumeReclaimPolicy",
                        json_str_or(class, "reclaimPolicy", "Delete"), "volumeMode", "Filesystem",
                        "capacity", "storage", json_at(claim, "spec.resources.requests.storage"),
                        "accessModes", json_at(claim, "spec.accessModes"), "claimRef", "apiVersion",
                        "v1", "kind", "PersistentVolumeClaim", "namespace", object_namespace(claim),
                        "name", object_name(claim), "uid", object_uid(claim), "resourceVersion",
                        json_str_or(claim, "metadata.resourceVersion", ""));

        assert(volume);
        return volume;
}

static void add_local(json_t *volume, const json_t *node) {
        const char *host = object_label(node, "kubernetes.io/hostname"),
                   *size = object_label(node, VOLUME_SIZE_LABEL);

        json_object_set_new(json_at_mut(volume, "metadata.annotations"), VOLUME_SIZE_LABEL,
                        json_string(size ? size : "unlimited"));
        assert(json_set_at(volume, "spec.local",
                               json_pack("{s:o}", "path",
                                               json_sprintf(LOCAL_VOLUMES_DIR "/%s",
                                                               object_name(volume)))) >= 0);
        assert(json_set_at(volume, "spec.nodeAffinity",
                               json_pack("{s:{s:[{s:[{s:s, s:s, s:[s]}]}]}}", "required",
                                               "nodeSelectorTerms", "matchExpressions", "key",
                                               "kubernetes.io/hostname", "operator", "In", "values",
                                               host ? host : object_name(node))) >= 0);
        assert(json_set_at(volume, "metadata.labels",
                               json_pack("{s:s}", VOLUME_NODE_LABEL, object_name(node))) >= 0);
}

void storage_failed(struct actions *a, const json_t *claim, const json_t *class, const char *why) {
        action_event(a, claim, "Warning", "ProvisioningFailed",
                        "failed to provision volume with StorageClass \"%s\": %s",
                        object_name(class), why);
}

/* kschedd chooses another node. */
static void unselect_node(const json_t *claim, struct actions *a) {
        action_patch(a, "persistentvolumeclaims", claim, NULL,
                        json_pack("{s:{s:{s:n}}}", "metadata", "annotations",
                                        VOLUME_SELECTED_NODE));
}

/* The node was chosen by kschedd, or is chosen here. NULL: not now, and it is said why. */
static const json_t *local_node(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        const char *selected = object_annotation(claim, VOLUME_SELECTED_NODE);
        const json_t *node =
                        selected ? world_get(w, WORLD_NODES, NULL, selected)
                                 : storage_node_for(w, object_uid(claim), takes_volumes, class);

        if (node)
                return node;
        if (selected) {
                storage_failed(a, claim, class,
                                "the node that was selected is gone; another one is");
                action_guard_absent(a, api_resource(KIND_NODES), NULL, selected, NULL);
                unselect_node(claim, a);
        } else {
                storage_failed(a, claim, class, "no ready node takes volumes of the class");
                actions_requeue(a, UINT64_C(30) * 1000000);
        }
        return NULL;
}

/* A program of someone else makes the volume; it looks for its name in this annotation. */
static void leave_to_others(const json_t *claim, const json_t *class, struct actions *a) {
        const char *provisioner = json_str_or(class, "provisioner", ""),
                   *wanted = object_annotation(claim, VOLUME_PROVISIONER);

        if (streq(provisioner, "kubernetes.io/no-provisioner")) {
                action_event(a, claim, "Warning", "ProvisioningFailed",
                                "no volume of the class \"%s\" fits, and its volumes are created "
                                "by an administrator",
                                object_name(class));
                /* Another claim was faster there. */
                if (object_annotation(claim, VOLUME_SELECTED_NODE))
                        unselect_node(claim, a);
                return;
        }
        if (!streq_ptr(wanted, provisioner))
                action_patch(a, "persistentvolumeclaims", claim, NULL,
                                json_pack("{s:{s:{s:s, s:s}}}", "metadata", "annotations",
                                                VOLUME_PROVISIONER, provisioner,
                                                "volume.beta.kubernetes.io/storage-provisioner",
                                                provisioner));
        action_event(a, claim, "Normal", "ExternalProvisioning",
                        "Waiting for a volume to be created either by the external provisioner "
                        "'%s' or manually by the system administrator. If volume creation is "
                        "delayed, please verify that the provisioner is running and correctly "
                        "registered.",
                        provisioner);
}

/* A node that a user has written there does not lift the limits of the class. */
static bool selection_is_allowed(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        const char *selected = object_annotation(claim, VOLUME_SELECTED_NODE);
        const json_t *node = selected ? world_get(w, WORLD_NODES, NULL, selected) : NULL;

        if (!node || is_allowed(class, node))
                return true;
        storage_failed(a, claim, class,
                        "the node that was selected is not one of allowedTopologies; another one "
                        "is selected");
        unselect_node(claim, a);
        return false;
}

static void provision_local(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        _cleanup_free_ char *name = strformat("pvc-%s", object_uid(claim));
        const char *why = local_refusal(claim, class);
        const json_t *node;
        json_t *volume;

        assert(name);
        if (why) {
                storage_failed(a, claim, class, why);
                return;
        }
        node = local_node(w, claim, class, a);
        if (!node)
                return;
        volume = storage_volume(claim, class, name);
        add_local(volume, node);
        action_create(a, "persistentvolumes", NULL, volume);
}

void storage_provision(const struct world *w, const json_t *claim, const json_t *class,
                struct actions *a) {
        const char *provisioner = json_str_or(class, "provisioner", "");
        bool local = streq(provisioner, PROVISIONER_LOCAL);

        if (!local && !streq(provisioner, PROVISIONER_NFS))
                leave_to_others(claim, class, a);
        else if (!selection_is_allowed(w, claim, class, a))
                return;
        else if (local)
                provision_local(w, claim, class, a);
        else
                storage_provision_nfs(w, claim, class, a);
}
