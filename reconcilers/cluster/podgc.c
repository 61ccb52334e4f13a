/* Orphaned pods: those on a node whose object is gone (no agent is left to report that they
 * stopped), and terminating ones that were never bound to a node. The node's absence is checked
 * with the API, because the pods of a new node may reach the cache before the node does. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

static void podgc_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        const char *node;

        if (kind == WORLD_NODES && gone) {
                _cleanup_objects_ struct objects pods = {0};

                world_list(w, WORLD_PODS_BY_NODE, object_name(object), &pods);
                for (size_t i = 0; i < pods.count; i++)
                        wake_object(out, pods.items[i]);
        } else if (kind == WORLD_PODS && !gone) {
                node = json_str_or(object, "spec.nodeName", "");
                if (*node ? !world_get(w, WORLD_NODES, NULL, node) : object_is_deleting(object))
                        wake_object(out, object);
        }
}

static void podgc_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *pod = world_get_key(w, WORLD_PODS, name);
        const char *node;

        if (!pod)
                return;
        node = json_str_or(pod, "spec.nodeName", "");
        if (!*node) {
                if (object_is_deleting(pod))
                        action_delete(a, "pods", pod, 0, NULL);
                return;
        }
        if (world_get(w, WORLD_NODES, NULL, node))
                return;
        action_guard_absent(a, api_resource(KIND_NODES), NULL, node, NULL);
        pod_disrupt(a, pod, "DeletionByPodGC", "PodGC: node no longer exists", /* failed= */ true,
                        w->now_us);
        actions_barrier(a);
        action_delete(a, "pods", pod, 0, NULL);
}

const struct controller podgc_controller = {
                .name = "podgc",
                .primary = WORLD_PODS,
                .kinds = WORLD_BIT(WORLD_PODS) | WORLD_BIT(WORLD_NODES),
                .wake = podgc_wake,
                .plan = podgc_plan,
};
