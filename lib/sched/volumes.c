/* Claims, volumes and storage classes, as far as they decide where a pod may run. */
#include "lib/object.h"
#include "lib/sched/volumes.h"
#include "lib/volumes.h"

static void volume_free(struct sched_cluster *c, struct sched_volume *v) {
        if (!v)
                return;
        if (v->is_unbound)
                LIST_REMOVE(v, unbound);
        sched_filter_put(c, v->filter);
        json_decref(v->object);
        free(v);
}

void sched_volumes_free(struct sched_cluster *c) {
        map_foreach (c->volumes, e)
                volume_free(c, map_entry_value(e));
        map_free(c->volumes);
        map_free(c->claims);
        map_free(c->storage_classes);
}

uint32_t sched_cluster_put_claim(struct sched_cluster *c, const json_t *claim) {
        _cleanup_free_ char *key = object_key(claim);
        const json_t *old = map_get(c->claims, strempty(key));
        bool same = old && json_same(json_at(old, "spec"), json_at(claim, "spec")) &&
                    json_same(json_at(old, "status"), json_at(claim, "status")) &&
                    json_same(json_at(old, "metadata.annotations"),
                                    json_at(claim, "metadata.annotations"));

        assert(key);
        sched_keep(c->claims, key, claim);
        return same ? 0 : SCHED_VOLUMES;
}

void sched_cluster_remove_claim(struct sched_cluster *c, const json_t *claim) {
        _cleanup_free_ char *key = object_key(claim);

        assert(key);
        map_remove(c->claims, key);
}

uint32_t sched_cluster_put_volume(struct sched_cluster *c, const json_t *volume) {
        const json_t *terms = json_at(volume, "spec.nodeAffinity.required.nodeSelectorTerms");
        struct sched_volume *v = sched_alloc(1, sizeof(*v)), *old;

        v->object = json_ref(volume);
        v->filter = sched_filter_get(c, /* selector= */ NULL, terms, /* tolerations= */ NULL,
                        /* keys= */ NULL);
        v->is_unbound = !streq(json_str_or(volume, "status.phase", ""), "Bound");
        if (v->is_unbound)
                LIST_INSERT_HEAD(&c->unbound_volumes, v, unbound);
        old = map_steal(c->volumes, object_name(volume));
        volume_free(c, old);
        assert(map_set(c->volumes, object_name(volume), v) >= 0);
        return SCHED_VOLUMES;
}

void sched_cluster_remove_volume(struct sched_cluster *c, const json_t *volume) {
        volume_free(c, map_steal(c->volumes, object_name(volume)));
}

uint32_t sched_cluster_put_storage_class(struct sched_cluster *c, const json_t *class) {
        sched_keep(c->storage_classes, object_name(class), class);
        return SCHED_VOLUMES;
}

void sched_cluster_remove_storage_class(struct sched_cluster *c, const json_t *class) {
        map_remove(c->storage_classes, object_name(class));
}

/* --- claims --- */

bool sched_claim_is_bound(const json_t *claim) {
        return *json_str_or(claim, "spec.volumeName", "") &&
               (object_annotation(claim, VOLUME_BIND_COMPLETED) ||
                               streq(json_str_or(claim, "status.phase", ""), "Bound"));
}

static bool waits_for_a_pod(const json_t *class) {
        return streq(json_str_or(class, "volumeBindingMode", "Immediate"), "WaitForFirstConsumer");
}

static const json_t *find_claim(
                const struct sched_cluster *c, const struct sched_pod *pod, const char *name) {
        _cleanup_free_ char *key = strformat("%s/%s", pod->ns, name);

        assert(key);
        return map_get(c->claims, key);
}

void sched_claims_count(struct sched_cluster *c, const struct sched_pod *pod, int by) {
        for (size_t i = 0; pod->claims && pod->claims[i]; i++) {
                _cleanup_free_ char *key = strformat("%s/%s", pod->ns, pod->claims[i]);
                size_t *n;

                assert(key);
                n = map_get(c->claim_users, key);
                if (!n) {
                        n = sched_alloc(1, sizeof(*n));
                        assert(map_set(c->claim_users, key, n) >= 0);
                }
                *n += (size_t)by;
                if (*n == 0)
                        map_remove(c->claim_users, key);
        }
}

/* ReadWriteOncePod (KEP-2485): one pod of the whole cluster has the claim at a time. */
static bool is_used_up(const struct sched_cluster *c, const json_t *claim) {
        _cleanup_free_ char *key = object_key(claim);
        const json_t *mode;
        size_t i;

        assert(key);
        json_array_foreach (json_at(claim, "spec.accessModes"), i, mode)
                if (streq(strempty(json_string_value(mode)), "ReadWriteOncePod"))
                        return map_get(c->claim_users, key) != NULL;
        return false;
}

static int add_bound(struct sched_decision *d, const json_t *claim) {
        const struct sched_volume *v =
                        map_get(d->cluster->volumes, json_str_or(claim, "spec.volumeName", ""));

        if (!v)
                d->volume_missing = true;
        else if (v->filter)
                sched_append(&d->volume_filters, v->filter);
        return 1;
}

int sched_volumes_begin(struct sched_decision *d, struct sched_reasons *why) {
        const struct sched_cluster *c = d->cluster;
        char *const *claims = d->pod->claims;

        d->volume_missing = false;
        d->volume_filters.count = d->unbound.count = 0;
        for (size_t i = 0; claims && claims[i]; i++) {
                const json_t *claim = find_claim(c, d->pod, claims[i]), *class;

                if (!claim) {
                        sched_reason_whole(
                                        why, "persistentvolumeclaim \"%s\" not found", claims[i]);
                        return -ENOENT;
                }
                if (object_is_deleting(claim)) {
                        sched_reason_whole(why, "persistentvolumeclaim \"%s\" is being deleted",
                                        claims[i]);
                        return -ENOENT;
                }
                if (is_used_up(c, claim)) {
                        sched_reason_whole(why, "node has pod using PersistentVolumeClaim with the "
                                                "same name and ReadWriteOncePod access mode");
                        if (why)
                                why->events |= SCHED_ANYWHERE; /* that pod's node may be cordoned */
                        return -EBUSY;
                }
                if (sched_claim_is_bound(claim)) {
                        add_bound(d, claim);
                        continue;
                }
                class = map_get(c->storage_classes, volume_class(claim));
                if (!waits_for_a_pod(class) || *json_str_or(claim, "spec.volumeName", "")) {
                        sched_reason_whole(why, "pod has unbound immediate PersistentVolumeClaims");
                        return -EAGAIN;
                }
                sched_append(&d->unbound, claim);
        }
        return d->volume_missing || d->volume_filters.count > 0 || d->unbound.count > 0;
}

/* --- volumes for claims that wait for a node --- */

static bool is_selected(const json_t *volume, const json_t *claim) {
        const json_t *wanted = json_at(claim, "spec.selector");
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;

        return !wanted || (label_selector_from_json(wanted, &selector, NULL) >= 0 &&
                                          label_selector_matches(selector,
                                                          json_at(volume, "metadata.labels")));
}

static bool is_free_for(const json_t *volume, const json_t *claim) {
        if (json_at(volume, "spec.claimRef") ? !volume_is_for(volume, claim)
                                             : !streq(json_str_or(volume, "status.phase", ""),
                                                               "Available"))
                return false;
        return !volume_mismatch(volume, claim) && is_selected(volume, claim);
}

/* allowedTopologies: one of the terms, of which all labels must have one of the values. */
static bool topology_allows(const json_t *class, const json_t *node) {
        const json_t *terms = json_object_get(class, "allowedTopologies"), *term, *e, *v;
        size_t i, k, l;

        json_array_foreach (terms, i, term) {
                bool all = true;

                json_array_foreach (json_object_get(term, "matchLabelExpressions"), k, e) {
                        const char *have = object_label(node, json_str_or(e, "key", ""));
                        bool any = false;

                        json_array_foreach (json_object_get(e, "values"), l, v)
                                any |= have && streq_ptr(json_string_value(v), have);
                        all &= any;
                }
                if (all)
                        return true;
        }
        return json_array_size(terms) == 0;
}

static bool can_be_bound_on(
                const struct sched_cluster *c, const json_t *claim, const struct sched_node *node) {
        const json_t *class = map_get(c->storage_classes, volume_class(claim));
        const char *selected = object_annotation(claim, VOLUME_SELECTED_NODE);
        bool is_made = !streq(
                        json_str_or(class, "provisioner", ""), "kubernetes.io/no-provisioner");
        const struct sched_volume *v;

        /* It is being made for that node, or bound there. */
        if (selected && !streq(selected, node->name))
                return false;
        if (selected && !is_made)
                return true;
        LIST_FOREACH(v, &c->unbound_volumes, unbound) {
                if ((!v->filter || v->filter->match[node->slot]) && is_free_for(v->object, claim))
                        return true;
        }
        return is_made && topology_allows(class, node->object);
}

int sched_volumes_filter(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why) {
        if (d->volume_missing) {
                sched_reason(why, "node(s) unavailable due to one or more pvc(s) bound to "
                                  "non-existent pv(s)");
                return UNRESOLVABLE;
        }
        for (size_t i = 0; i < d->volume_filters.count; i++)
                if (!d->volume_filters.items[i]->match[node->slot]) {
                        sched_reason(why, "node(s) had volume node affinity conflict");
                        return UNRESOLVABLE;
                }
        for (size_t i = 0; i < d->unbound.count; i++)
                if (!can_be_bound_on(d->cluster, d->unbound.items[i], node)) {
                        sched_reason(why, "node(s) didn't find available persistent volumes to "
                                          "bind");
                        return UNRESOLVABLE;
                }
        return FITS;
}

/* --- for the driver --- */

int sched_pod_claims_to_bind(const struct sched_cluster *c, const struct sched_pod *pod,
                const char *node, char ***ret_to_select) {
        _cleanup_strv_free_ char **list = NULL;
        int unbound = 0;

        for (size_t i = 0; pod->claims && pod->claims[i]; i++) {
                const json_t *claim = find_claim(c, pod, pod->claims[i]);

                if (!claim)
                        return -ENOENT;
                if (sched_claim_is_bound(claim))
                        continue;
                unbound++;
                if (!streq_ptr(object_annotation(claim, VOLUME_SELECTED_NODE), node))
                        assert(strv_extend(&list, pod->claims[i]) >= 0);
        }
        *ret_to_select = TAKE_PTR(list);
        return unbound;
}
