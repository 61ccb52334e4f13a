/* The node's own look at a new pod: the scheduler is advisory, and whoever may create a pod may
 * name its node. Other taints with NoSchedule are the scheduler's business alone (a cordoned node
 * keeps taking what was sent to it), as in a kubelet. */
#include "nodeagent/pod/admission.h"

#include "lib/buf.h"
#include "lib/pod-amounts.h"
#include "lib/taints.h"
#include "nodeagent/eviction-plan.h"

static bool tolerates_memory_pressure(const json_t *pod) {
        _cleanup_json_ json_t *taint = json_pack("{s:s, s:s}", "key",
                        "node.kubernetes.io/memory-pressure", "effect", "NoSchedule");

        return taint && pod_tolerates(pod, taint, NULL);
}

static int check_pressures(const json_t *pod, unsigned pressures, struct problem *p) {
        static const char *const names[NODE_PRESSURES] = {[PRESSURE_MEMORY] = "MemoryPressure",
                        [PRESSURE_DISK] = "DiskPressure",
                        [PRESSURE_PIDS] = "PIDPressure"};
        _cleanup_buf_ struct buf b = {0};

        if (pressures == 0 || eviction_pod_is_critical(pod))
                return 0;
        if (pressures == 1U << PRESSURE_MEMORY &&
                        (!pod_is_best_effort(json_object_get(pod, "spec")) ||
                                        tolerates_memory_pressure(pod)))
                return 0;
        for (size_t i = 0; i < NODE_PRESSURES; i++)
                if (pressures & 1U << i)
                        buf_printf(&b, "%s%s", b.size > 0 ? " " : "", names[i]);
        return problem_set(p, EPERM, 0, "Evicted", "The node had condition: [%s]. ",
                        b.failed ? "" : b.data);
}

static int check_taints(const json_t *pod, const json_t *taints, struct problem *p) {
        const json_t *t;
        size_t i;

        json_array_foreach (taints, i, t) {
                const char *effect = json_str_or(t, "effect", "");

                if (!streq(json_str_or(t, "key", ""), "node-role.kubernetes.io/control-plane") ||
                                (!streq(effect, "NoSchedule") && !streq(effect, "NoExecute")) ||
                                pod_tolerates(pod, t, NULL))
                        continue;
                return problem_set(p, EPERM, 0, "TaintToleration",
                                "Pod was rejected: Predicate TaintToleration failed: node(s) had "
                                "taints that the pod didn't tolerate "
                                "(node-role.kubernetes.io/control-plane:%s)",
                                effect);
        }
        return 0;
}

int pod_admit(const json_t *pod, const json_t *taints, unsigned pressures, bool shutting_down,
                struct problem *p) {
        int r;

        if (shutting_down)
                return problem_set(p, EPERM, 0, "NodeShutdown",
                                "Pod was rejected as the node is shutting down.");
        if (streq(json_str_or(pod, "spec.os.name", "linux"), "windows"))
                return problem_set(p, EPERM, 0, "PodOSNotSupported",
                                "Failed to admit pod as the OS field doesn't match node OS");
        r = check_taints(pod, taints, p);
        return r < 0 ? r : check_pressures(pod, pressures, p);
}
