/* The node's own look at a new pod: the scheduler is advisory, and whoever may create a pod may
 * name its node. Other taints with NoSchedule are the scheduler's business alone (a cordoned node
 * keeps taking what was sent to it), as in a kubelet. */
#include "nodeagent/pod/admission.h"

#include "lib/taints.h"

int pod_admit(const json_t *pod, const json_t *taints, struct problem *p) {
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
