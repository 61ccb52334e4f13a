/* How fast a HorizontalPodAutoscaler may change its target (spec.behavior): a stabilization window
 * and policies for each direction. Without a behaviour the documented defaults hold: up by 4 pods
 * or 100 % in 15 s, whichever is more; down without limit, over the window of --horizontal-pod-
 * autoscaler-downscale-stabilization. */
#include "lib/quantity.h"
#include "reconcilers/autoscaling/horizontalpodautoscaler.h"

enum { PERIOD_MAX_S = 1800, HISTORY_MAX = 5000 };
#define SECOND_US UINT64_C(1000000)

void hpa_history_done(struct hpa_history *h) {
        vector_done(&h->recommendations);
        vector_done(&h->ups);
        vector_done(&h->downs);
}

static enum hpa_select select_of(const char *word) {
        return streq(word, "Disabled") ? HPA_SELECT_DISABLED
               : streq(word, "Min")    ? HPA_SELECT_MIN
                                       : HPA_SELECT_MAX;
}

struct hpa_rules hpa_rules(
                const json_t *hpa, const char *direction, const struct hpa_config *config) {
        const json_t *rules = json_get(hpa, "spec", "behavior", direction, NULL),
                     *window = json_object_get(rules, "stabilizationWindowSeconds"),
                     *tolerance = json_object_get(rules, "tolerance");
        struct hpa_rules r = {.select = select_of(json_str_or(rules, "selectPolicy", "Max")),
                        .policies = json_object_get(rules, "policies"),
                        .tolerance = config->tolerance};
        int64_t milli;

        if (window)
                r.window_us = (uint64_t)MAX(json_integer_value(window), INT64_C(0)) * SECOND_US;
        else
                r.window_us = streq(direction, "scaleDown") ? config->downscale_us : 0;
        if (tolerance && quantity_parse_milli(tolerance, &milli) == 0 && milli >= 0)
                r.tolerance = (double)milli / 1000;
        return r;
}

/* --- stabilization --- */

/* Whether it happened within the last `window`. */
static bool is_within(uint64_t at_us, uint64_t window_us, uint64_t mono_us) {
        return at_us + window_us > mono_us;
}

static void remember(struct hpa_history *h, int64_t wanted, uint64_t window_us, uint64_t mono_us) {
        struct hpa_recommendation new = {wanted, mono_us};

        while (h->recommendations.count > 0 &&
                        (h->recommendations.count >= HISTORY_MAX ||
                                        !is_within(h->recommendations.items[0].at_us, window_us,
                                                        mono_us)))
                vector_remove(&h->recommendations, 0);
        assert(vector_append(&h->recommendations, new) >= 0);
}

struct hpa_step hpa_stabilize(struct hpa_history *h, const json_t *hpa,
                const struct hpa_config *config, int64_t current, int64_t wanted,
                uint64_t mono_us) {
        uint64_t up_us = hpa_rules(hpa, "scaleUp", config).window_us,
                 down_us = hpa_rules(hpa, "scaleDown", config).window_us;
        int64_t least = wanted, most = wanted, replicas = current;

        for (size_t i = 0; i < h->recommendations.count; i++) {
                const struct hpa_recommendation *r = &h->recommendations.items[i];

                if (is_within(r->at_us, up_us, mono_us))
                        least = MIN(least, r->replicas);
                if (is_within(r->at_us, down_us, mono_us))
                        most = MAX(most, r->replicas);
        }
        replicas = MAX(replicas, least);
        replicas = MIN(replicas, most);
        remember(h, wanted, MAX(up_us, down_us), mono_us);
        if (replicas == wanted)
                return (struct hpa_step){replicas, "ReadyForNewScale",
                                "recommended size matches current size"};
        if (wanted >= current)
                return (struct hpa_step){replicas, "ScaleUpStabilized",
                                "recent recommendations were lower than current one, applying the "
                                "lowest recent recommendation"};
        return (struct hpa_step){replicas, "ScaleDownStabilized",
                        "recent recommendations were higher than current one, applying the highest "
                        "recent recommendation"};
}

/* --- policies --- */

struct policy {
        bool percent;
        int64_t value;
        uint64_t period_us;
};

static struct policy policy_of(const json_t *v) {
        return (struct policy){.percent = streq(json_str_or(v, "type", ""), "Percent"),
                        .value = json_int_or(v, "value", 0),
                        .period_us = (uint64_t)json_int_or(v, "periodSeconds", 1) * SECOND_US};
}

/* The i-th policy of the rules, or of the defaults. */
static bool policy_at(const struct hpa_rules *r, bool up, size_t i, struct policy *ret) {
        static const struct policy ups[] = {
                        {false, 4, 15 * SECOND_US}, {true, 100, 15 * SECOND_US}};
        static const struct policy downs[] = {{true, 100, 15 * SECOND_US}};

        if (r->policies) {
                if (i >= json_array_size(r->policies))
                        return false;
                *ret = policy_of(json_array_get(r->policies, i));
                return true;
        }
        if (i >= (up ? ELEMENTS(ups) : ELEMENTS(downs)))
                return false;
        *ret = up ? ups[i] : downs[i];
        return true;
}

/* The replicas at the begin of the period. */
static int64_t at_begin(const struct hpa_history *h, int64_t current, uint64_t period_us,
                uint64_t mono_us) {
        for (size_t i = 0; i < h->ups.count; i++)
                if (is_within(h->ups.items[i].at_us, period_us, mono_us))
                        current -= h->ups.items[i].replicas;
        for (size_t i = 0; i < h->downs.count; i++)
                if (is_within(h->downs.items[i].at_us, period_us, mono_us))
                        current += h->downs.items[i].replicas;
        return current;
}

/* Upwards rounded up, downwards rounded down: both to the larger change. */
static int64_t proposed(const struct policy *p, int64_t begin, bool up) {
        if (!p->percent)
                return up ? begin + p->value : begin - p->value;
        if (up)
                return begin + (begin * p->value + 99) / 100;
        return begin * MAX(100 - p->value, INT64_C(0)) / 100;
}

/* The most (up) or fewest (down) replicas that the policies allow. */
static int64_t policies_limit(const struct hpa_history *h, const struct hpa_rules *r, bool up,
                int64_t current, uint64_t mono_us) {
        bool largest = (r->select == HPA_SELECT_MAX) == up;
        int64_t limit = largest ? INT64_MIN : INT64_MAX;
        struct policy p;

        if (r->select == HPA_SELECT_DISABLED)
                return current;
        for (size_t i = 0; policy_at(r, up, i, &p); i++) {
                int64_t n = proposed(&p, at_begin(h, current, p.period_us, mono_us), up);

                limit = largest ? MAX(limit, n) : MIN(limit, n);
        }
        /* What was changed lately may be more than a new policy allows: it stays. */
        return up ? MAX(limit, current) : MIN(limit, current);
}

static struct hpa_step limit_up(const struct hpa_history *h, const struct hpa_rules *r,
                int64_t most, int64_t current, int64_t wanted, uint64_t mono_us) {
        int64_t limit = policies_limit(h, r, true, current, mono_us);

        if (most > limit && wanted > limit)
                return (struct hpa_step){limit, "ScaleUpLimit",
                                "the desired replica count is increasing faster than the maximum "
                                "scale rate"};
        if (most <= limit && wanted > most)
                return (struct hpa_step){most, "TooManyReplicas",
                                "the desired replica count is more than the maximum replica count"};
        return (struct hpa_step){.replicas = wanted};
}

static struct hpa_step limit_down(const struct hpa_history *h, const struct hpa_rules *r,
                int64_t least, int64_t current, int64_t wanted, uint64_t mono_us) {
        int64_t limit = policies_limit(h, r, false, current, mono_us);

        if (least < limit && wanted < limit)
                return (struct hpa_step){limit, "ScaleDownLimit",
                                "the desired replica count is decreasing faster than the maximum "
                                "scale rate"};
        if (least >= limit && wanted < least)
                return (struct hpa_step){least, "TooFewReplicas",
                                "the desired replica count is less than the minimum replica count"};
        return (struct hpa_step){.replicas = wanted};
}

struct hpa_step hpa_limit(const struct hpa_history *h, const json_t *hpa,
                const struct hpa_config *config, int64_t current, int64_t wanted,
                uint64_t mono_us) {
        struct hpa_rules up = hpa_rules(hpa, "scaleUp", config),
                         down = hpa_rules(hpa, "scaleDown", config);
        struct hpa_step s = {.replicas = wanted};

        if (wanted > current)
                s = limit_up(h, &up, json_int_or(hpa, "spec.maxReplicas", current), current, wanted,
                                mono_us);
        else if (wanted < current)
                s = limit_down(h, &down, json_int_or(hpa, "spec.minReplicas", 1), current, wanted,
                                mono_us);
        if (s.reason)
                return s;
        return (struct hpa_step){wanted, "DesiredWithinRange",
                        "the desired count is within the acceptable range"};
}

void hpa_remember_change(struct hpa_history *h, int64_t before, int64_t after, uint64_t mono_us) {
        struct hpa_change change = {after > before ? after - before : before - after, mono_us};
        typeof(h->ups) *lists[] = {&h->ups, &h->downs};

        for (size_t i = 0; i < ELEMENTS(lists); i++)
                while (lists[i]->count > 0 &&
                                (lists[i]->count >= HISTORY_MAX ||
                                                !is_within(lists[i]->items[0].at_us,
                                                                PERIOD_MAX_S * SECOND_US, mono_us)))
                        vector_remove(lists[i], 0);
        if (after != before)
                assert(vector_append(lists[after < before], change) >= 0);
}
