/* ReplicaSet: as many active pods as spec.replicas says. Pods are adopted and released by selector;
 * surplus pods are deleted, the most dispensable first; creation is bounded per round and
 * slow-started by the executor. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

enum { BURST_MAX = 500 };

static void replicaset_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        switch (kind) {
        case WORLD_REPLICASETS:
                wake_object(out, object);
                break;
        case WORLD_PODS:
                if (old)
                        wake_controller(out, old, "apps", "ReplicaSet");
                wake_controller(out, object, "apps", "ReplicaSet");
                wake_selecting(w, out, WORLD_REPLICASETS_BY_NS, object);
                break;
        case WORLD_NODES:
                /* The readiness of its pods depends on it. */
                if (gone || node_readiness_changed(old, object)) {
                        _cleanup_objects_ struct objects pods = {0};

                        world_list(w, WORLD_PODS_BY_NODE, object_name(object), &pods);
                        for (size_t i = 0; i < pods.count; i++)
                                wake_controller(out, pods.items[i], "apps", "ReplicaSet");
                }
                break;
        default:
                break;
        }
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
                const struct objects *all) {
        const char *node = json_str_or(pod, "spec.nodeName", "");
        const char *phase = json_str_or(pod, "status.phase", "Pending");
        const char *cost = object_annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
        json_t *container;
        size_t i;

        *r = (struct ranked){.pod = pod, .assigned = *node != 0, .ready = pod_is_ready(w, pod)};
        r->phase = streq(phase, "Running") ? 2 : streq(phase, "Unknown") ? 1 : 0;
        if (cost)
                (void)parse_i64(cost, &r->cost);
        for (i = 0; *node && i < all->count; i++)
                r->beside += pod_is_active(all->items[i]) &&
                             streq(json_str_or(all->items[i], "spec.nodeName", ""), node);
        if (r->ready)
                r->ready_since = time_at(object_condition(pod, "Ready"), "lastTransitionTime");
        r->created = object_created_us(pod);
        json_array_foreach (json_at(pod, "status.containerStatuses"), i, container)
                r->restarts = MAX(r->restarts, (unsigned)json_int_or(container, "restartCount", 0));
}

static void remove_pods(const struct world *w, struct actions *a, const struct objects *active,
                const struct objects *all, size_t count) {
        struct ranked *ranked = calloc(active->count, sizeof(*ranked));

        assert(ranked);
        for (size_t i = 0; i < active->count; i++)
                rank(w, &ranked[i], active->items[i], all);
        qsort(ranked, active->count, sizeof(*ranked), compare_ranked);
        for (size_t i = 0; i < count && i < BURST_MAX; i++)
                action_delete(a, "pods", ranked[i].pod, -1, NULL);
        free(ranked);
}

static void active_of(const struct objects *pods, struct objects *ret) {
        for (size_t i = 0; i < pods->count; i++)
                if (pod_is_active(pods->items[i]))
                        objects_add(ret, pods->items[i]);
}

static void replicaset_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *rs = world_get_key(w, WORLD_REPLICASETS, name);
        _cleanup_objects_ struct objects pods = {0}, orphans = {0}, active = {0};
        int64_t want;
        uint64_t wait = 0;

        if (!rs || object_is_deleting(rs))
                return;
        world_owned(w, WORLD_PODS_BY_OWNER, rs, &pods, &orphans);
        adopt_and_release(a, "pods", rs, "apps/v1", "ReplicaSet", &pods, &orphans);
        active_of(&pods, &active);
        want = json_int_or(rs, "spec.replicas", 1);
        for (int64_t i = (int64_t)active.count; i < want && i - (int64_t)active.count < BURST_MAX;
                        i++)
                action_create(a, "pods", object_namespace(rs),
                                pod_from_template(json_at(rs, "spec.template"), rs, "apps/v1",
                                                "ReplicaSet"));
        if ((int64_t)active.count > want)
                remove_pods(w, a, &active, &pods, active.count - (size_t)MAX(want, (int64_t)0));
        for (size_t i = 0; i < active.count; i++)
                (void)pod_is_available(w, active.items[i],
                                json_int_or(rs, "spec.minReadySeconds", 0), &wait);
        if (wait > 0)
                actions_requeue(a, wait);
}

static unsigned fully_labeled(const json_t *rs, const json_t *pod) {
        const char *key;
        json_t *v;

        json_object_foreach ((json_t *)json_at(rs, "spec.template.metadata.labels"), key, v)
                if (!streq_ptr(object_label(pod, key), json_string_value(v)))
                        return 0;
        return 1;
}

static void failure_condition(json_t *conditions, const char *now, const struct problem *failed) {
        json_t *c;
        size_t i;

        if (failed && failed->code >= 400 && failed->code < 500 && failed->code != 409) {
                condition_set(conditions, "ReplicaFailure", "True", "FailedCreate",
                                strempty(failed->message), now, false);
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

static json_t *replicaset_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *rs = world_get_key(w, WORLD_REPLICASETS, name);
        _cleanup_objects_ struct objects pods = {0}, active = {0};
        unsigned labeled = 0, ready = 0, available = 0;
        json_t *conditions, *status;
        char now[TIMEFMT_SIZE];

        if (!rs)
                return NULL;
        world_list(w, WORLD_PODS_BY_OWNER, object_uid(rs), &pods);
        active_of(&pods, &active);
        for (size_t i = 0; i < active.count; i++) {
                const json_t *pod = active.items[i];

                labeled += fully_labeled(rs, pod);
                ready += pod_is_ready(w, pod);
                available += pod_is_available(
                                w, pod, json_int_or(rs, "spec.minReadySeconds", 0), NULL);
        }
        conditions = json_deep_copy(json_at(rs, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        failure_condition(conditions, time_format(w->now_us, now), failed);
        status = json_pack("{s:i, s:i, s:i, s:i, s:I}", "replicas", (int)active.count,
                        "fullyLabeledReplicas", labeled, "readyReplicas", ready,
                        "availableReplicas", available, "observedGeneration",
                        (json_int_t)object_generation(rs));
        if (json_array_size(conditions) > 0)
                json_object_set(status, "conditions", conditions);
        json_decref(conditions);
        return status;
}

const struct controller replicaset_controller = {
                .name = "replicaset",
                .primary = WORLD_REPLICASETS,
                .kinds = WORLD_BIT(WORLD_REPLICASETS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_NODES),
                .wake = replicaset_wake,
                .plan = replicaset_plan,
                .report = replicaset_report,
};
