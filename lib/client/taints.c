/* Matching of taints and tolerations as the "Taints and Tolerations" page says. */
#include "lib/client/taints.h"

static bool matches(
                const json_t *toleration, const char *key, const char *value, const char *effect) {
        const char *wanted_effect = json_str_or(toleration, "effect", "");
        const char *wanted_key = json_str_or(toleration, "key", "");

        if (*wanted_effect && !streq(wanted_effect, effect))
                return false;
        if (*wanted_key && !streq(wanted_key, key))
                return false;
        if (streq(json_str_or(toleration, "operator", "Equal"), "Exists"))
                return true;
        /* An empty key with Equal tolerates nothing. */
        return *wanted_key && streq(json_str_or(toleration, "value", ""), value);
}

bool toleration_matches(const json_t *toleration, const json_t *taint) {
        return matches(toleration, json_str_or(taint, "key", ""), json_str_or(taint, "value", ""),
                        json_str_or(taint, "effect", ""));
}

bool pod_tolerates_key(const json_t *pod, const char *key, const char *effect) {
        const json_t *t;
        size_t i;

        json_array_foreach (json_at(pod, "spec.tolerations"), i, t)
                if (matches(t, key, /* value= */ "", effect))
                        return true;
        return false;
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
