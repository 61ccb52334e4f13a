/* Which taints a list of tolerations covers. */
#include "kapid/admission/tolerations.h"

static bool tolerates(const json_t *toleration, const json_t *taint) {
        const char *effect = json_str_or(toleration, "effect", ""),
                   *key = json_str_or(toleration, "key", ""),
                   *operator= json_str_or(toleration, "operator", "Equal");

        if (!isempty(effect) && !streq(effect, json_str_or(taint, "effect", "")))
                return false;
        if (isempty(key)) /* every key, with Exists only */
                return streq(operator, "Exists");
        if (!streq(key, json_str_or(taint, "key", "")))
                return false;
        if (streq(operator, "Exists"))
                return true;
        return (isempty(operator) || streq(operator, "Equal")) &&
               streq(json_str_or(toleration, "value", ""), json_str_or(taint, "value", ""));
}

const json_t *taint_not_tolerated(const json_t *taints, const json_t *tolerations) {
        const json_t *taint, *t;
        size_t i, k;

        json_array_foreach (taints, i, taint) {
                const char *effect = json_str_or(taint, "effect", "");
                bool covered = false;

                if (!streq(effect, "NoSchedule") && !streq(effect, "NoExecute"))
                        continue;
                json_array_foreach (tolerations, k, t)
                        covered |= tolerates(t, taint);
                if (!covered)
                        return taint;
        }
        return NULL;
}
