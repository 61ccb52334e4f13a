/* Which volume serves which claim, as Kubernetes decides it: the one that was kept for the claim,
 * or else the smallest that is large enough. */
#include "lib/node-affinity.h"
#include "lib/object.h"
#include "lib/quantity.h"
#include "lib/selector.h"
#include "reconcilers/storage/storage.h"

bool volume_is_bound_to(const json_t *volume, const json_t *claim) {
        return *object_uid(claim) &&
               streq(json_str_or(volume, "spec.claimRef.uid", ""), object_uid(claim));
}

const json_t *volume_kept_for(const struct world *w, const json_t *claim) {
        _cleanup_objects_ struct objects volumes = {0};
        char key[600];

        snprintf(key, sizeof(key), "%s/%s", object_namespace(claim), object_name(claim));
        world_list(w, WORLD_VOLUMES_BY_CLAIM, key, &volumes);
        for (size_t i = 0; i < volumes.count; i++)
                if (volume_is_for(volumes.items[i], claim) && !object_is_deleting(volumes.items[i]))
                        return volumes.items[i];
        return NULL;
}

static bool is_better(const json_t *volume, const json_t *than) {
        int order;

        if (!than)
                return true;
        if (quantity_compare(json_at(volume, "spec.capacity.storage"),
                            json_at(than, "spec.capacity.storage"), &order) < 0)
                return false;
        return order < 0 || (order == 0 && strcmp(object_name(volume), object_name(than)) < 0);
}

/* Whether the volume can be used on the node; NULL: on any. */
static bool is_for_node(const json_t *volume, const json_t *node) {
        const json_t *terms = json_at(volume, "spec.nodeAffinity.required.nodeSelectorTerms");

        return !node || !terms || node_terms_match(terms, node);
}

const json_t *volume_best_for(const struct world *w, const json_t *claim, const json_t *node) {
        const json_t *wanted = json_at(claim, "spec.selector"), *best = NULL;
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_objects_ struct objects volumes = {0};

        if (wanted && label_selector_from_json(wanted, &selector, &p) < 0)
                return NULL;
        world_list(w, WORLD_VOLUMES_FREE_BY_CLASS, volume_class(claim), &volumes);
        for (size_t i = 0; i < volumes.count; i++) {
                const json_t *v = volumes.items[i];

                if (!streq(json_str_or(v, "status.phase", ""), "Available") ||
                                volume_mismatch(v, claim) || !is_for_node(v, node) ||
                                !is_better(v, best))
                        continue;
                if (!selector || label_selector_matches(selector, json_at(v, "metadata.labels")))
                        best = v;
        }
        return best;
}

void storage_remove_finalizer(struct actions *a, const char *plural, const json_t *object,
                const char *finalizer) {
        json_t *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(object, "metadata.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), finalizer))
                        json_array_append(kept, f);
        action_patch(a, plural, object, NULL,
                        json_pack("{s:{s:o}}", "metadata", "finalizers", kept));
}
