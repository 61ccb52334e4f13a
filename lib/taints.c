/* Matching of taints and tolerations. */
#include "lib/taints.h"

enum taint_effect taint_effect_parse(const char *text) {
        return !*text                            ? EFFECT_ANY
               : streq(text, "NoSchedule")       ? EFFECT_NO_SCHEDULE
               : streq(text, "PreferNoSchedule") ? EFFECT_PREFER
               : streq(text, "NoExecute")        ? EFFECT_NO_EXECUTE
                                                 : EFFECT_OTHER;
}

bool taint_effect_forbids(enum taint_effect effect) {
        return effect == EFFECT_NO_SCHEDULE || effect == EFFECT_NO_EXECUTE;
}

static enum toleration_operator operator_parse(const char *text) {
        return streq(text, "Exists") ? TOLERATION_EXISTS
               : streq(text, "Lt")   ? TOLERATION_BELOW
               : streq(text, "Gt")   ? TOLERATION_ABOVE
                                     : TOLERATION_EQUAL;
}

void toleration_read(const json_t *v, struct toleration *ret) {
        *ret = (struct toleration){.key = json_str_or(v, "key", ""),
                        .value = json_str_or(v, "value", ""),
                        .effect = taint_effect_parse(json_str_or(v, "effect", "")),
                        .op = operator_parse(json_str_or(v, "operator", ""))};
}

bool toleration_number(const char *text, int64_t *ret) {
        const char *digits = text + (*text == '-');

        if (*digits < '0' || *digits > '9' || (*digits == '0' && (digits[1] || digits > text)))
                return false;
        return parse_i64(text, ret) >= 0;
}

static bool matches_value(const struct toleration *t, const char *value) {
        int64_t own, other;

        switch (t->op) {
        case TOLERATION_EXISTS:
                return true;
        case TOLERATION_BELOW:
        case TOLERATION_ABOVE:
                if (!toleration_number(t->value, &own) || !toleration_number(value, &other))
                        return false;
                return t->op == TOLERATION_BELOW ? other < own : other > own;
        default:
                return streq(t->value, value);
        }
}

bool toleration_matches(const struct toleration *t, const char *key, const char *value,
                enum taint_effect effect) {
        if (t->effect != EFFECT_ANY && t->effect != effect)
                return false;
        if (*t->key && !streq(t->key, key))
                return false;
        /* An empty key tolerates nothing but with Exists. */
        return (*t->key || t->op == TOLERATION_EXISTS) && matches_value(t, value);
}

static bool matches_taint(const json_t *toleration, const json_t *taint) {
        struct toleration t;

        toleration_read(toleration, &t);
        return toleration_matches(&t, json_str_or(taint, "key", ""),
                        json_str_or(taint, "value", ""),
                        taint_effect_parse(json_str_or(taint, "effect", "")));
}

bool pod_tolerates(const json_t *pod, const json_t *taint, int64_t *ret_seconds) {
        int64_t seconds = -1;
        bool tolerated = false;
        const json_t *t;
        size_t i;

        json_array_foreach (json_at(pod, "spec.tolerations"), i, t) {
                int64_t s = json_int_or(t, "tolerationSeconds", -1);

                if (!matches_taint(t, taint))
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

const json_t *taint_not_tolerated(const json_t *taints, const json_t *tolerations) {
        const json_t *taint, *t;
        size_t i, k;

        json_array_foreach (taints, i, taint) {
                bool covered = false;

                if (!taint_effect_forbids(taint_effect_parse(json_str_or(taint, "effect", ""))))
                        continue;
                json_array_foreach (tolerations, k, t)
                        covered |= matches_taint(t, taint);
                if (!covered)
                        return taint;
        }
        return NULL;
}
