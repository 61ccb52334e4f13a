/* Node lifecycle. A node whose Lease was not renewed for the grace period (by the controller's own
 * clock, counting only time in which the watch was up) has conditions Unknown. Conditions become
 * taints, and NoExecute taints evict pods when their tolerations run out. An evicted pod on an
 * unreachable node stays Terminating until the node is back or deleted: only then is it certain not
 * to run. Meanwhile it counts as not ready, so that services leave it out; its agent corrects that
 * when it is back. When no node is reachable, the fault is more likely on this side: no pod is
 * evicted and pods stay as they last were. */
#include "lib/object.h"
#include "lib/taints.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define NOT_READY "node.kubernetes.io/not-ready"
#define UNREACHABLE "node.kubernetes.io/unreachable"
#define UNSCHEDULABLE "node.kubernetes.io/unschedulable"
#define PREFIX "node.kubernetes.io/"

static void node_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        const char *node;

        switch (kind) {
        case WORLD_NODES:
                wake_object(out, object);
                break;
        case WORLD_LEASES:
                /* A renewal matters only for a node marked unreachable. */
                if (!old ||
                                object_condition(world_get(w, WORLD_NODES, NULL,
                                                                 object_name(object)),
                                                "Ready") == NULL ||
                                !node_is_ready(world_get(
                                                w, WORLD_NODES, NULL, object_name(object))))
                        wake_key(out, NULL, object_name(object));
                break;
        case WORLD_PODS:
                node = json_str_or(object, "spec.nodeName", "");
                if (*node && !gone && (!old || !*json_str_or(old, "spec.nodeName", "")))
                        wake_key(out, NULL, node);
                break;
        default:
                break;
        }
}

/* Monotonic time of the last observed sign of life. */
static uint64_t last_sign(const struct world *w, const json_t *node) {
        uint64_t seen = w->source->lease_seen(w->data, object_name(node));
        uint64_t created = object_created_us(node);
        uint64_t age = w->now_us > created ? w->now_us - created : 0;
        uint64_t born = w->mono_us > age ? w->mono_us - age : 0;

        seen = MAX(seen, w->started_us);
        return MAX(seen, born);
}

static void mark_unknown(struct actions *a, const struct world *w, const json_t *node) {
        static const char *const types[] = {
                        "Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
        json_t *conditions = json_deep_copy(json_at(node, "status.conditions"));
        char now[TIMEFMT_SIZE];

        time_format(w->now_us, now);
        if (!conditions)
                conditions = json_array();
        for (size_t i = 0; i < ELEMENTS(types); i++) {
                const json_t *was = object_condition(node, types[i]);
                json_t *heartbeat = json_object_get(was, "lastHeartbeatTime"), *c;
                size_t k;

                condition_set(conditions, types[i], "Unknown",
                                was ? "NodeStatusUnknown" : "NodeStatusNeverUpdated",
                                was ? "The node's agent stopped posting its status."
                                    : "The node's agent never posted its status.",
                                now, false);
                json_array_foreach (conditions, k, c)
                        if (heartbeat && streq(json_str_or(c, "type", ""), types[i]))
                                json_object_set(c, "lastHeartbeatTime", heartbeat);
        }
        action_patch(a, "nodes", node, "status",
                        json_pack("{s:{s:o}}", "status", "conditions", conditions));
        action_event(a, node, "Normal", "NodeNotReady", "Node %s status is now: NodeNotReady",
                        object_name(node));
}

/* --- taints --- */

static const struct condition_taint {
        const char *condition, *status, *key;
} condition_taints[] = {
                {"MemoryPressure", "True", PREFIX "memory-pressure"},
                {"DiskPressure", "True", PREFIX "disk-pressure"},
                {"PIDPressure", "True", PREFIX "pid-pressure"},
                {"NetworkUnavailable", "True", PREFIX "network-unavailable"},
};

static bool is_managed(const char *key) {
        if (streq(key, NOT_READY) || streq(key, UNREACHABLE) || streq(key, UNSCHEDULABLE))
                return true;
        for (size_t i = 0; i < ELEMENTS(condition_taints); i++)
                if (streq(key, condition_taints[i].key))
                        return true;
        return false;
}

/* Appends the taint as it is on the node, or a new one. */
static void put_taint(json_t *taints, const json_t *node, const char *key, const char *effect,
                const char *now) {
        json_t *t;
        size_t i;

        json_array_foreach (json_at(node, "spec.taints"), i, t)
                if (streq(json_str_or(t, "key", ""), key) &&
                                streq(json_str_or(t, "effect", ""), effect)) {
                        json_array_append(taints, t);
                        return;
                }
        json_array_append_new(taints, json_pack("{s:s, s:s, s:s}", "key", key, "effect", effect,
                                                      "timeAdded", now));
}

static json_t *wanted_taints(const struct world *w, const json_t *node) {
        const json_t *ready = object_condition(node, "Ready"), *t;
        const char *status = json_str_or(ready, "status", "");
        json_t *taints = json_array();
        char now[TIMEFMT_SIZE];
        size_t i;

        time_format(w->now_us, now);
        json_array_foreach (json_at(node, "spec.taints"), i, t)
                if (!is_managed(json_str_or(t, "key", "")))
                        json_array_append(taints, (json_t *)t);
        if (json_bool_or(node, "spec.unschedulable", false))
                put_taint(taints, node, UNSCHEDULABLE, "NoSchedule", now);
        for (i = 0; i < ELEMENTS(condition_taints); i++)
                if (streq(json_str_or(object_condition(node, condition_taints[i].condition),
                                          "status", ""),
                                    condition_taints[i].status))
                        put_taint(taints, node, condition_taints[i].key, "NoSchedule", now);
        if (streq(status, "True"))
                return taints;
        if (!ready) { /* joined a moment ago: no pods until its agent reports */
                put_taint(taints, node, NOT_READY, "NoSchedule", now);
                return taints;
        }
        put_taint(taints, node, streq(status, "Unknown") ? UNREACHABLE : NOT_READY, "NoSchedule",
                        now);
        put_taint(taints, node, streq(status, "Unknown") ? UNREACHABLE : NOT_READY, "NoExecute",
                        now);
        return taints;
}

static bool sync_taints(const struct world *w, const json_t *node, struct actions *a) {
        _cleanup_json_ json_t *want = wanted_taints(w, node);
        const json_t *have = json_at(node, "spec.taints");

        if (have ? json_equal(have, want) : json_array_size(want) == 0)
                return false;
        action_patch(a, "nodes", node, NULL, json_pack("{s:{s:O}}", "spec", "taints", want));
        return true;
}

/* --- eviction --- */

/* Wall-clock time at which the pod is evicted; UINT64_MAX: never. */
static uint64_t eviction_time(
                const struct world *w, const json_t *node, const json_t *pod, bool own_fault) {
        uint64_t when = UINT64_MAX;
        const json_t *taint;
        size_t i;

        json_array_foreach (json_at(node, "spec.taints"), i, taint) {
                const char *key = json_str_or(taint, "key", "");
                uint64_t since = time_at(taint, "timeAdded");
                int64_t seconds;

                if (!streq(json_str_or(taint, "effect", ""), "NoExecute"))
                        continue;
                if (own_fault && (streq(key, NOT_READY) || streq(key, UNREACHABLE)))
                        continue;
                if (since == 0)
                        since = w->now_us;
                if (!pod_tolerates(pod, taint, &seconds))
                        return 0;
                if (seconds >= 0)
                        when = MIN(when, since + seconds_us(seconds));
        }
        return when;
}

static bool any_node_ready(const struct world *w) {
        _cleanup_objects_ struct objects nodes = {0};

        world_list(w, WORLD_NODES_READY, "1", &nodes);
        return nodes.count > 0;
}

/* True when it had to be changed. */
static bool mark_not_ready(const struct world *w, const json_t *pod, struct actions *a) {
        const json_t *ready = object_condition(pod, "Ready");
        json_t *conditions, *c;
        char now[TIMEFMT_SIZE];
        size_t i;

        if (!streq(json_str_or(ready, "status", ""), "True"))
                return false;
        conditions = json_deep_copy(json_at(pod, "status.conditions"));
        assert(conditions);
        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), "Ready")) {
                        json_object_set_new(c, "status", json_string("False"));
                        json_object_set_new(c, "lastTransitionTime",
                                        json_string(time_format(w->now_us, now)));
                }
        action_event(a, pod, "Warning", "NodeNotReady", "Node is not ready");
        action_patch(a, "pods", pod, "status",
                        json_pack("{s:{s:o}}", "status", "conditions", conditions));
        return true;
}

/* Whether a pod must leave the node now; else looks again when it must. */
static bool eviction_due(const struct world *w, const json_t *node, const json_t *pod,
                bool own_fault, struct actions *a) {
        uint64_t when;

        if (object_is_deleting(pod) || pod_is_finished(pod))
                return false;
        when = eviction_time(w, node, pod, own_fault);
        if (when > w->now_us && when != UINT64_MAX)
                actions_requeue(a, when - w->now_us);
        return when <= w->now_us;
}

/* The pods of a node that has NoExecute taints or is silent. */
static void treat_pods(const struct world *w, const json_t *node, struct actions *a) {
        _cleanup_objects_ struct objects pods = {0}, due = {0};
        bool own_fault = !any_node_ready(w);
        bool silent = streq(json_str_or(object_condition(node, "Ready"), "status", ""), "Unknown");
        bool marked = false;

        world_list(w, WORLD_PODS_BY_NODE, object_name(node), &pods);
        for (size_t i = 0; silent && !own_fault && i < pods.count; i++)
                marked |= mark_not_ready(w, pods.items[i], a);
        if (marked) {
                actions_requeue(a, 1000); /* evictions once the cache shows those changes */
                return;
        }
        for (size_t i = 0; i < pods.count; i++)
                if (eviction_due(w, node, pods.items[i], own_fault, a)) {
                        objects_add(&due, pods.items[i]);
                        pod_disrupt(a, pods.items[i], "DeletionByTaintManager",
                                        "Taint manager: deleting due to NoExecute taint",
                                        /* failed= */ false, w->now_us);
                }
        if (due.count > 0)
                actions_barrier(a);
        for (size_t i = 0; i < due.count; i++) {
                const json_t *pod = due.items[i];

                action_event(a, pod, "Normal", "TaintManagerEviction",
                                "Deleting pod %s/%s from node %s", object_namespace(pod),
                                object_name(pod), object_name(node));
                action_delete(a, "pods", pod, -1, NULL);
        }
        /* No event of this node follows when another one comes back. */
        if (own_fault && pods.count > 0)
                actions_requeue(a, w->config->node_monitor_grace_us);
}

static void node_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *node = world_get(w, WORLD_NODES, NULL, name);
        uint64_t silent_at;
        const char *ready;

        if (!node || object_is_deleting(node))
                return;
        silent_at = last_sign(w, node) + w->config->node_monitor_grace_us;
        ready = json_str_or(object_condition(node, "Ready"), "status", "");
        if (silent_at > w->mono_us)
                actions_requeue(a, silent_at - w->mono_us);
        else if (!streq(ready, "Unknown")) {
                mark_unknown(a, w, node);
                return;
        }
        if (!sync_taints(w, node, a))
                treat_pods(w, node, a);
}

const struct controller node_controller = {
                .name = "node",
                .primary = WORLD_NODES,
                .kinds = WORLD_BIT(WORLD_NODES) | WORLD_BIT(WORLD_LEASES) | WORLD_BIT(WORLD_PODS),
                .wake = node_wake,
                .plan = node_plan,
};
