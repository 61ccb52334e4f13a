/* Matching of taints and tolerations as the "Taints and Tolerations" page says. */
#include "lib/client/taints.h"

bool toleration_matches(const json_t *toleration, const json_t *taint) {
        const char *effect = json_str_or(toleration, "effect", "");
        const char *key = json_str_or(toleration, "key", "");
        const char *operator= json_str_or(toleration, "operator", "Equal");

        if (*effect && !streq(effect, json_str_or(taint, "effect", "")))
                return false;
        if (*key && !streq(key, json_str_or(taint, "key", "")))
                return false;
        if (streq(operator, "Exists"))
                return true;
        /* An empty key with Equal tolerates nothing. */
        return *key && streq(json_str_or(toleration, "value", ""), json_str_or(taint, "value", ""));
}

bool pod_tolerates(const json_t *pod, const json_t *taint, int64_t *ret_seconds) {
        int64_t seconds = -1;
        bool tolerated = false;
        const json_t *t;
        size_t i;

        json_array_foreach (json_at(pod, "spec.tolerations"), i, t) {
                int64_t s = json_int_or(t, "tolerationSeconds", -1);

                if (!toleration_matches(t, taint))
                        continue;
                tolerated = true;
                if (s >= 0 || json_is_integer(json_object_get(t, "tolerationSeconds"))) {
                        s = MAX(s, (int64_t)0);
                        seconds = seconds < 0 ? s : MIN(seconds, s);
                }
        }
        if (tolerated && ret_seconds)
                *ret_seconds = seconds;
        return tolerated;
}
