/* ReplicaSet and ReplicationController: as many active pods as spec.replicas says. Pods are adopted
 * and released by selector; surplus pods are deleted, the most dispensable first; creation is
 * bounded per round and slow-started by the executor. */
#include "reconcilers/workloads/replicas.h"

#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/pods.h"

enum { BURST_MAX = 500 };

void replicas_wake(const struct replicas_type *t, const struct world *w, const struct wake *out,
                enum world_kind kind, const json_t *old, const json_t *object, bool gone) {
        if (kind == t->primary)
                wake_object(out, object);
        else if (kind == WORLD_PODS) {
                if (old)
                        wake_controller(out, old, t->group, t->kind);
                wake_controller(out, object, t->group, t->kind);
                wake_selecting(w, out, t->by_ns, object);
        } else if (kind == WORLD_NODES)
                wake_owners_of_node_pods(w, out, old, object, gone, t->group, t->kind);
}

/* The order in which pods are deleted, most dispensable first; see the ReplicaSet page of the
 * manual
 * ("scaling down"). */
struct ranked {
        const json_t *pod;
        bool assigned, ready;
        unsigned phase;  /* Pending 0, Unknown 1, Running 2 */
        int64_t cost;    /* annotation controller.kubernetes.io/pod-deletion-cost */
        unsigned beside; /* pods of the same owner on its node */
        uint64_t ready_since, created;
        unsigned restarts;
};

static int compare_ranked(const void *x, const void *y) {
        const struct ranked *a = x, *b = y;

        if (a->assigned != b->assigned)
                return a->assigned ? 1 : -1;
        if (a->phase != b->phase)
                return a->phase < b->phase ? -1 : 1;
        if (a->ready != b->ready)
                return a->ready ? 1 : -1;
        if (a->cost != b->cost)
                return a->cost < b->cost ? -1 : 1;
        if (a->beside != b->beside)
                return a->beside > b->beside ? -1 : 1;
        if (a->ready_since != b->ready_since)
                return a->ready_since > b->ready_since ? -1 : 1;
        if (a->restarts != b->restarts)
                return a->restarts > b->restarts ? -1 : 1;
        if (a->created != b->created)
                return a->created > b->created ? -1 : 1;
        return strcmp(object_name(a->pod), object_name(b->pod));
}

static void rank(const struct world *w, struct ranked *r, const json_t *pod,
                const struct map *per_node) {
        const char *node = json_str_or(pod, "spec.nodeName", "");
        const char *phase = json_str_or(pod, "status.phase", "Pending");
        const char *cost = object_annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
        json_t *container;
        size_t i;

        *r = (struct ranked){.pod = pod, .assigned = *node != 0, .ready = pod_is_ready(w, pod)};
        r->phase = streq(phase, "Running") ? 2 : streq(phase, "Unknown") ? 1 : 0;
        if (cost)
                (void)parse_i64(cost, &r->cost);
        r->beside = (unsigned)(uintptr_t)map_get(per_node, node);
        if (r->ready)
                r->ready_since = time_at(object_condition(pod, "Ready"), "lastTransitionTime");
        r->created = object_created_us(pod);
        json_array_foreach (json_at(pod, "status.containerStatuses"), i, container)
                r->restarts = MAX(r->restarts, (unsigned)json_int_or(container, "restartCount", 0));
}

/* How many of the pods each node has: node -> number as pointer. */
static struct map *count_per_node(const struct objects *pods) {
        struct map *m = map_new(/* free_value= */ NULL);

        assert(m);
        for (size_t i = 0; i < pods->count; i++) {
                const char *node = json_str_or(pods->items[i], "spec.nodeName", "");
                uintptr_t n = (uintptr_t)map_get(m, node) + 1;

                if (*node)
                        assert(map_set(m, node, (void *)n) >= 0);
        }
        return m;
}

static void remove_pods(const struct world *w, struct actions *a, const json_t *owner,
                const struct objects *active, size_t count) {
        _cleanup_(map_freep) struct map *per_node = count_per_node(active);
        struct ranked *ranked = calloc(active->count, sizeof(*ranked));

        assert(ranked);
        for (size_t i = 0; i < active->count; i++)
                rank(w, &ranked[i], active->items[i], per_node);
        qsort(ranked, active->count, sizeof(*ranked), compare_ranked);
        for (size_t i = 0; i < count && i < BURST_MAX; i++)
                pod_delete(a, owner, ranked[i].pod);
        free(ranked);
}

static void active_of(const struct objects *pods, struct objects *ret) {
        for (size_t i = 0; i < pods->count; i++)
                if (pod_is_active(pods->items[i]))
                        objects_add(ret, pods->items[i]);
}

void replicas_plan(const struct replicas_type *t, const struct world *w, const char *name,
                struct actions *a) {
        const json_t *set = world_get_key(w, t->primary, name);
        _cleanup_objects_ struct objects pods = {0}, orphans = {0}, active = {0};
        int64_t want, have;
        uint64_t wait = 0;

        if (!set || object_is_deleting(set))
                return;
        world_owned(w, WORLD_PODS_BY_OWNER, set, &pods, &orphans);
        adopt_and_release(a, "pods", set, t->api_version, t->kind, &pods, &orphans);
        active_of(&pods, &active);
        want = MAX(json_int_or(set, "spec.replicas", 1), (int64_t)0);
        have = (int64_t)active.count;
        for (int64_t i = have; i < want && i - have < BURST_MAX; i++)
                pod_create(a, set,
                                pod_from_template(json_at(set, "spec.template"), set,
                                                t->api_version, t->kind));
        if (have > want)
                remove_pods(w, a, set, &active, (size_t)(have - want));
        for (size_t i = 0; i < active.count; i++)
                (void)pod_is_available(w, active.items[i],
                                json_int_or(set, "spec.minReadySeconds", 0), &wait);
        if (wait > 0)
                actions_requeue(a, wait);
}

/* The number of pods that are being deleted and still run. */
static json_t *terminating_of(const struct objects *pods) {
        json_int_t n = 0;

        for (size_t i = 0; i < pods->count; i++)
                n += object_is_deleting(pods->items[i]) && !pod_is_finished(pods->items[i]);
        return json_integer(n);
}

static unsigned fully_labeled(const json_t *set, const json_t *pod) {
        const char *key;
        json_t *v;

        json_object_foreach (json_unconst(json_at(set, "spec.template.metadata.labels")), key, v)
                if (!streq_ptr(object_label(pod, key), json_string_value(v)))
                        return 0;
        return 1;
}

static void failure_condition(
                json_t *conditions, const char *now, const struct problem *failed, bool creating) {
        json_t *c;
        size_t i;

        if (failed && failed->code >= 400 && failed->code < 500 && failed->code != 409) {
                condition_set(conditions, "ReplicaFailure", "True",
                                creating ? "FailedCreate" : "FailedDelete",
                                strempty(failed->message), now, /* with_update_time= */ false);
                return;
        }
        if (failed)
                return;
        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), "ReplicaFailure")) {
                        json_array_remove(conditions, i);
                        return;
                }
}

json_t *replicas_report(const struct replicas_type *t, const struct world *w, const char *name,
                const struct problem *failed) {
        const json_t *set = world_get_key(w, t->primary, name);
        int64_t min_ready_s = json_int_or(set, "spec.minReadySeconds", 0);
        _cleanup_objects_ struct objects pods = {0}, active = {0};
        unsigned labeled = 0, ready = 0, available = 0;
        json_t *conditions, *status;
        char now[TIMEFMT_SIZE];

        if (!set)
                return NULL;
        world_list(w, WORLD_PODS_BY_OWNER, object_uid(set), &pods);
        active_of(&pods, &active);
        for (size_t i = 0; i < active.count; i++) {
                const json_t *pod = active.items[i];

                labeled += fully_labeled(set, pod);
                ready += pod_is_ready(w, pod);
                available += pod_is_available(w, pod, min_ready_s, NULL);
        }
        conditions = json_deep_copy(json_at(set, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        failure_condition(conditions, time_format(w->now_us, now), failed,
                        (int64_t)active.count < json_int_or(set, "spec.replicas", 1));
        status = json_pack("{s:i, s:i, s:i, s:i, s:I}", "replicas", (int)active.count,
                        "fullyLabeledReplicas", labeled, "readyReplicas", ready,
                        "availableReplicas", available, "observedGeneration",
                        (json_int_t)object_generation(set));
        assert(status);
        if (t->reports_terminating)
                json_object_set_new(status, "terminatingReplicas", terminating_of(&pods));
        if (json_array_size(conditions) > 0)
                json_object_set(status, "conditions", conditions);
        json_decref(conditions);
        return status;
}
