/* Rules come before the policy; the first that fits counts. The only action is to start the
 * container again: kapid warns of the one that would start the whole pod again. */
#include "nodeagent/plan/restart.h"

#include "lib/base.h"

const char *container_restart_policy(const json_t *pod, const json_t *container) {
        return json_str_or(container, "restartPolicy",
                        json_str_or(pod, "spec.restartPolicy", "Always"));
}

static bool rule_fits(const json_t *rule, int exit_code) {
        const json_t *v;
        bool among = false;
        size_t i;

        if (!json_object_get(rule, "exitCodes"))
                return false;
        json_array_foreach (json_at(rule, "exitCodes.values"), i, v)
                among |= json_integer_value(v) == exit_code;
        return streq(json_str_or(rule, "exitCodes.operator", ""), "NotIn") ? !among : among;
}

bool container_restarts(const json_t *pod, const json_t *container, bool init, int exit_code) {
        const char *policy = container_restart_policy(pod, container);
        const json_t *rule;
        size_t i;

        if (init && exit_code == 0)
                return false; /* its work is done, whatever a rule says of 0 */
        json_array_foreach (json_object_get(container, "restartPolicyRules"), i, rule)
                if (rule_fits(rule, exit_code))
                        return true;
        if (streq(policy, "Never"))
                return false;
        return exit_code != 0 || streq(policy, "Always");
}
