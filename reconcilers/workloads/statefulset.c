/* StatefulSet: pods NAME-0, NAME-1, ..., each with its own name, revision and claims, which are
 * never two at the same time. A round goes
 *
 *      wanted ordinals, lowest first: create, or replace what has finished   keep_replicas()
 *      other ordinals, highest first: delete                                 remove_condemned()
 *      wanted ordinals, highest first: delete those of an old revision       update_replicas()
 *
 * OrderedReady: the first two stop at the first pod that is not ready, Parallel: they do not.
 *
 * Two things are better than in Kubernetes. There, a pod of a broken revision stops everything that
 * follows until it becomes ready, which it never does, and a rollback waits until somebody deletes
 * that pod ("Forced rollback" in the manual). Here the update continues where the others stop, and
 * a pod that is not ready and has the wrong revision is replaced: nothing that works is lost by it.
 * It waits its turn when max_unavailable pods of the new revision are not ready themselves. And
 * there, of two pods that are scaled away and not ready, the higher one waits until the lower one
 * is ready; here it is deleted. */
#include "lib/map.h"
#include "lib/object.h"
#include "reconcilers/workloads/statefulset-internal.h"

enum { BURST_MAX = 500 };

/* The sets that have a claim of that name, even one that a person made. */
static void wake_users(const struct world *w, const struct wake *out, const json_t *claim) {
        _cleanup_objects_ struct objects sets = {0};

        world_list(w, WORLD_STATEFULSETS_BY_NS, object_namespace(claim), &sets);
        for (size_t i = 0; i < sets.count; i++)
                if (set_names_claim(sets.items[i], object_name(claim)))
                        wake_object(out, sets.items[i]);
}

static void statefulset_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        switch (kind) {
        case WORLD_STATEFULSETS:
                wake_object(out, object);
                break;
        case WORLD_PODS:
        case WORLD_REVISIONS:
                if (old)
                        wake_controller(out, old, "apps", "StatefulSet");
                wake_controller(out, object, "apps", "StatefulSet");
                wake_selecting(w, out, WORLD_STATEFULSETS_BY_NS, object);
                break;
        case WORLD_NODES:
                wake_owners_of_node_pods(w, out, old, object, gone, "apps", "StatefulSet");
                break;
        case WORLD_CLAIMS:
                /* A pod may wait until a claim of its name is gone or has another owner. */
                if (gone || (old && !json_same(json_at(old, "metadata.ownerReferences"),
                                                    json_at(object, "metadata.ownerReferences"))))
                        wake_users(w, out, object);
                break;
        default:
                break;
        }
}

/* A pod that has finished makes room for a new one of its name. */
static void replace_finished(const struct set *s, struct actions *a, const json_t *pod) {
        bool failed = streq(json_str_or(pod, "status.phase", ""), "Failed");

        if (object_is_deleting(pod))
                return;
        action_event(a, s->object, failed ? "Warning" : "Normal",
                        failed ? "RecreatingFailedPod" : "RecreatingTerminatedPod",
                        "StatefulSet %s/%s is recreating %s Pod %s", object_namespace(s->object),
                        object_name(s->object), failed ? "failed" : "terminated", object_name(pod));
        set_delete_pod(s, a, pod);
}

/* Claims are created before the pods that use them: they go into `claims`. True: something has to
 * become ready before the rest of the plan. */
static bool keep_replicas(const struct set *s, const struct world *w, struct actions *claims,
                struct actions *a) {
        size_t at = 0, created = 0;

        for (int64_t i = 0; i < s->wanted && created < BURST_MAX; i++) {
                int64_t ordinal = s->start + i;
                const struct set_member *m =
                                at < s->replicas.count && s->replicas.items[at].ordinal == ordinal
                                                ? &s->replicas.items[at++]
                                                : NULL;
                bool usable = set_create_claims(s, w, claims, ordinal, m ? m->pod : NULL);

                if (!m) {
                        created++;
                        if (usable)
                                set_create_pod(s, a, ordinal);
                } else if (pod_is_finished(m->pod))
                        replace_finished(s, a, m->pod);
                else if (m->available) {
                        set_label_pod(s, a, m);
                        continue;
                }
                if (s->ordered)
                        return true;
        }
        return false;
}

static void remove_condemned(const struct set *s, struct actions *a) {
        for (size_t i = s->condemned.count, n = 0; i > 0 && n < BURST_MAX; i--) {
                const struct set_member *m = &s->condemned.items[i - 1];

                if (!object_is_deleting(m->pod)) {
                        set_delete_pod(s, a, m->pod);
                        n++;
                }
                if (s->ordered)
                        return;
        }
}

/* Deletes pods of another revision than theirs, the highest ordinals first. Healthy pods
 * stay below the partition (one that is raised does not take back what was updated), and with
 * `careful` everywhere. */
static void update_replicas(const struct set *s, struct actions *a, bool careful) {
        int64_t unavailable = s->wanted - (int64_t)s->replicas.count, in_flight = 0;

        for (size_t i = 0; i < s->replicas.count; i++)
                unavailable += !s->replicas.items[i].available;
        for (size_t i = s->replicas.count; i > 0; i--) {
                const struct set_member *m = &s->replicas.items[i - 1];
                const char *revision = object_label(m->pod, REVISION_LABEL);
                bool right = streq_ptr(revision, object_name(set_revision_for(s, m->ordinal))),
                     below = m->ordinal - s->start < s->partition;

                if (object_is_deleting(m->pod) || right) {
                        in_flight += !m->available && !below;
                        continue;
                }
                if (pod_is_finished(m->pod)) /* replaced already */
                        continue;
                if (m->healthy ? below || careful || unavailable >= s->max_unavailable
                               : in_flight >= s->max_unavailable)
                        continue;
                unavailable += m->available;
                in_flight++;
                set_delete_pod(s, a, m->pod);
        }
}

static void clean_history(const struct set *s, struct actions *a) {
        _cleanup_(map_freep) struct map *used = map_new(/* free_value= */ NULL);

        assert(used);
        for (size_t i = 0; i < s->pods.count; i++) {
                const char *revision = object_label(s->pods.items[i], REVISION_LABEL);

                if (revision)
                        assert(map_set(used, revision, used) >= 0);
        }
        if (s->current)
                assert(map_set(used, object_name(s->current), used) >= 0);
        history_clean(&s->history, a, used);
}

/* True: something had to be changed, and pods are counted when that is done. */
static bool settle_ownership(const struct world *w, const json_t *object, struct actions *a) {
        _cleanup_objects_ struct objects pods = {0}, orphans = {0}, members = {0};

        world_owned(w, WORLD_PODS_BY_OWNER, object, &pods, &orphans);
        for (size_t i = 0; i < orphans.count; i++)
                if (set_ordinal_of(object, orphans.items[i]) >= 0)
                        objects_add(&members, orphans.items[i]);
        adopt_and_release(a, "pods", object, "apps/v1", "StatefulSet", &pods, &members);
        return a->count > 0;
}

static void statefulset_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *object = world_get_key(w, WORLD_STATEFULSETS, name);
        _cleanup_actions_ struct actions pods = {0};
        _cleanup_(set_done) struct set s = {0};
        bool stopped;

        if (!object || object_is_deleting(object) || settle_ownership(w, object, a))
                return;
        set_read(&s, w, object);
        if (!history_sync(&s.history, a))
                return;
        for (size_t i = 0; i < s.replicas.count; i++)
                set_own_claims(&s, w, a, s.replicas.items[i].pod, /* condemned= */ false);
        for (size_t i = 0; i < s.condemned.count; i++)
                set_own_claims(&s, w, a, s.condemned.items[i].pod, /* condemned= */ true);
        stopped = keep_replicas(&s, w, a, &pods);
        if (!stopped)
                remove_condemned(&s, &pods);
        if (s.rolling)
                update_replicas(&s, &pods,
                                /* careful= */ s.ordered && s.condemned.count > 0);
        if (a->count > 0 && pods.count > 0)
                actions_barrier(a);
        actions_append(a, &pods);
        clean_history(&s, a);
        if (s.wait_us > 0)
                actions_requeue(a, s.wait_us);
}

static void count(const struct set *s, const struct set_members *m, const char *current,
                const char *update, json_int_t n[static 5]) {
        for (size_t i = 0; i < m->count; i++) {
                const struct set_member *x = &m->items[i];
                const char *revision = object_label(x->pod, REVISION_LABEL);
                bool counts = !object_is_deleting(x->pod) && revision;

                n[0]++;
                n[1] += x->healthy;
                n[2] += x->available;
                n[3] += counts && streq(revision, current);
                n[4] += counts && streq(revision, update);
        }
}

static json_t *statefulset_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *object = world_get_key(w, WORLD_STATEFULSETS, name);
        json_int_t n[5] = {0}; /* all, ready, available, current, updated */
        _cleanup_(set_done) struct set s = {0};
        const char *current, *update;
        int64_t collisions;
        json_t *status;

        if (!object || object_is_deleting(object))
                return NULL;
        set_read(&s, w, object);
        update = s.history.update ? object_name(s.history.update)
                                  : json_str_or(object, "status.updateRevision", "");
        current = s.current ? object_name(s.current) : update;
        count(&s, &s.replicas, current, update, n);
        count(&s, &s.condemned, current, update, n);
        /* The update is complete. */
        if (s.rolling && s.history.update && n[4] == n[0] && n[1] == n[0] && n[0] == s.wanted) {
                current = update;
                n[3] = n[4];
        }
        status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s}", "observedGeneration",
                        (json_int_t)object_generation(object), "replicas", n[0], "readyReplicas",
                        n[1], "availableReplicas", n[2], "currentReplicas", n[3], "updatedReplicas",
                        n[4], "currentRevision", current, "updateRevision", update);
        assert(status);
        collisions = history_collisions(&s.history, failed);
        json_object_set_new(status, "collisionCount", json_integer(collisions));
        return status;
}

const struct controller statefulset_controller = {
                .name = "statefulset",
                .primary = WORLD_STATEFULSETS,
                .kinds = WORLD_BIT(WORLD_STATEFULSETS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_REVISIONS) |
                         WORLD_BIT(WORLD_CLAIMS),
                .wake = statefulset_wake,
                .plan = statefulset_plan,
                .report = statefulset_report,
};
