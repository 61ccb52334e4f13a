/* The strategies: why a pod should leave its node, and which other node is better. What the
 * scheduler's rules forbid is asked of lib/sched/; what is compared here is only what the scheduler
 * does not know: how full nodes are among each other, twins, age and restarts. A new strategy is a
 * row at the end, its name in kapid/kinds/keelson.yaml, and its arguments in
 * kapid/strategy/descheduling.c. */
#include <stdarg.h>

#include "lib/object.h"
#include "reconcilers/descheduling/descheduling-internal.h"

static char *text_of(const char *fmt, ...) _printf_(1, 2);
static char *text_of(const char *fmt, ...) {
        char *text = NULL;
        va_list ap;

        va_start(ap, fmt);
        assert(vasprintf(&text, fmt, ap) >= 0);
        va_end(ap);
        return text;
}

static void read_words(struct desched_strategy *s, const char *field) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_object_get(s->args, field), i, v)
                assert(strv_extend(&s->words, strempty(json_string_value(v))) >= 0);
}

/* --- how full nodes are --- */

static double percent(const struct desched *d, const char *node, const char *resource) {
        struct sched_usage u;

        if (!sched_cluster_usage(d->cluster, node, resource, &u) || u.allocatable <= 0)
                return 0;
        return (double)u.used * 100 / (double)u.allocatable;
}

static double average(const struct desched *d, const char *resource) {
        double sum = 0;
        size_t n = 0;

        map_foreach (d->nodes, e) {
                const struct desched_node *node = map_entry_value(e);

                if (!node->selected)
                        continue;
                sum += percent(d, node->name, resource);
                n++;
        }
        return n > 0 ? sum / (double)n : 0;
}

static double within_percents(double v) {
        return v < 0 ? 0 : v > 100 ? 100 : v;
}

static void read_thresholds(const struct desched *d, struct desched_strategy *s) {
        const json_t *high = json_object_get(s->args, "targetThresholds");
        bool distances = json_bool_or(s->args, "useDeviationThresholds", false);
        const char *resource;
        json_t *v;

        json_object_each (json_object_get(s->args, "thresholds"), resource, v) {
                struct desched_threshold t = {.resource = resource,
                                .low = json_number_value(v),
                                .high = json_number_value(json_object_get(high, resource))};

                if (distances) {
                        double middle = average(d, resource);

                        t.low = within_percents(middle - t.low);
                        t.high = within_percents(middle + t.high);
                }
                assert(vector_append(&s->thresholds, t) >= 0);
        }
}

static bool is_under(const struct desched *d, const struct desched_strategy *s, const char *node) {
        for (size_t i = 0; i < s->thresholds.count; i++) {
                const struct desched_threshold *t = &s->thresholds.items[i];

                if (percent(d, node, t->resource) > t->low)
                        return false;
        }
        return true;
}

static const struct desched_threshold *find_excess(
                const struct desched *d, const struct desched_strategy *s, const char *node) {
        for (size_t i = 0; i < s->thresholds.count; i++)
                if (percent(d, node, s->thresholds.items[i].resource) > s->thresholds.items[i].high)
                        return &s->thresholds.items[i];
        return NULL;
}

static double fullest(const struct desched *d, const struct desched_strategy *s, const char *node) {
        double most = 0;

        for (size_t i = 0; i < s->thresholds.count; i++)
                most = MAX(most, percent(d, node, s->thresholds.items[i].resource));
        return most;
}

/* Sets the level of every node, and counts them. */
static void compare_nodes(struct desched *d, struct desched_strategy *s, bool has_targets,
                size_t ret_counts[static LEVEL_OVER + 1]) {
        read_thresholds(d, s);
        map_foreach (d->nodes, e) {
                struct desched_node *node = map_entry_value(e);
                bool open = sched_cluster_node_is_open(d->cluster, node->name);

                node->level = LEVEL_MIDDLE;
                node->fullness = (int64_t)(fullest(d, s, node->name) * 1000);
                if (!node->selected)
                        continue;
                /* Nothing is moved to a node that takes no pods; one may be emptied. */
                if ((open || !has_targets) && is_under(d, s, node->name))
                        node->level = LEVEL_UNDER;
                else if (has_targets && find_excess(d, s, node->name))
                        node->level = LEVEL_OVER;
                ret_counts[node->level]++;
        }
}

/* Whether there are too few underutilized nodes; says so. */
static bool lacks_nodes(struct desched_strategy *s, size_t under) {
        int64_t least = json_int_or(s->args, "numberOfNodes", 0);

        if ((int64_t)under > least)
                return false;
        s->message = under == 0 ? text_of("no node is underutilized")
                                : text_of("%zu nodes are underutilized; numberOfNodes asks for "
                                          "more than %lld",
                                                  under, (long long)least);
        return true;
}

/* --- LowNodeUtilization --- */

static void low_begin(struct desched *d, struct desched_strategy *s) {
        size_t counts[LEVEL_OVER + 1] = {0};

        compare_nodes(d, s, /* has_targets= */ true, counts);
        if (!lacks_nodes(s, counts[LEVEL_UNDER]) && counts[LEVEL_OVER] == 0)
                s->message = text_of("no node is above its target");
}

/* The fullest node first. */
static int64_t low_rank(const struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x) {
        return -x->node->fullness;
}

static char *low_judge(struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        if (x->node->level != LEVEL_OVER)
                return NULL;
        for (size_t i = 0; i < s->thresholds.count; i++) {
                const struct desched_threshold *t = &s->thresholds.items[i];
                double now = percent(d, x->node->name, t->resource);

                if (now > t->high && sched_placed_request(d->cluster, x->uid, t->resource) > 0)
                        return text_of("the pods of the node request %.0f%% of its %s, the target "
                                       "is %.0f%%",
                                        now, t->resource, t->high);
        }
        return NULL;
}

static bool low_helps(struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x, const struct desched_node *to) {
        if (to->level != LEVEL_UNDER)
                return false;
        for (size_t i = 0; i < s->thresholds.count; i++) {
                const struct desched_threshold *t = &s->thresholds.items[i];
                int64_t more = sched_placed_request(d->cluster, x->uid, t->resource);
                struct sched_usage u;

                if (!sched_cluster_usage(d->cluster, to->name, t->resource, &u) ||
                                (double)(u.used + more) * 100 > t->high * (double)u.allocatable)
                        return false;
        }
        return true;
}

/* --- HighNodeUtilization --- */

static void high_begin(struct desched *d, struct desched_strategy *s) {
        size_t counts[LEVEL_OVER + 1] = {0};

        compare_nodes(d, s, /* has_targets= */ false, counts);
        if (!lacks_nodes(s, counts[LEVEL_UNDER]) && counts[LEVEL_MIDDLE] == 0)
                s->message = text_of("every node is underutilized, none is to be filled");
}

/* The emptiest node first. */
static int64_t high_rank(const struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x) {
        return x->node->fullness;
}

static char *high_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        return x->node->level == LEVEL_UNDER ? text_of("the node is underutilized") : NULL;
}

static bool high_helps(struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x, const struct desched_node *to) {
        return to->level != LEVEL_UNDER;
}

/* --- RemoveDuplicates --- */

static void duplicates_begin(struct desched *d, struct desched_strategy *s) {
        read_words(s, "excludeOwnerKinds");
}

static char *duplicates_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        const json_t *owner = object_controller_ref(x->object);
        int64_t n = x->group ? desched_group_count(x->group, x->node->name) : 0;

        if (n < 2 || strv_contains(s->words, json_str_or(owner, "kind", "")))
                return NULL;
        return text_of("%lld pods of %s %s are on the node", (long long)n,
                        json_str_or(owner, "kind", ""), json_str_or(owner, "name", ""));
}

/* With it, that node still has fewer of them than this one has now. */
static bool duplicates_helps(struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x, const struct desched_node *to) {
        return desched_group_count(x->group, to->name) + 1 <
               desched_group_count(x->group, x->node->name);
}

/* --- what the scheduler's rules forbid --- */

static char *affinity_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        if (!sched_placed_breaks_affinity(d->cluster, d->profile, x->uid))
                return NULL;
        return text_of("its node selector or node affinity does not allow the node");
}

static void taints_begin(struct desched *d, struct desched_strategy *s) {
        read_words(s, "excludedTaints");
        /* A cordon asks for no new pods; the old ones are for kctl drain. */
        if (!json_object_get(s->args, "excludedTaints"))
                assert(strv_extend(&s->words, "node.kubernetes.io/unschedulable") >= 0);
}

static char *taints_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        _cleanup_free_ char *taint = sched_placed_untolerated(d->cluster, x->uid, s->words);

        return taint ? text_of("it does not tolerate the taint %s of the node", taint) : NULL;
}

static char *anti_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        const struct sched_move *m;

        if (!sched_placed_may_clash(d->cluster, x->uid))
                return NULL;
        m = desched_move(d, x);
        return m && sched_move_clashes(m) ? text_of("a required anti-affinity with another pod "
                                                    "does not allow the node")
                                          : NULL;
}

static bool has_word(const json_t *list, const char *word) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(strempty(json_string_value(v)), word))
                        return true;
        return false;
}

static char *spread_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        const json_t *which = json_object_get(s->args, "constraints"), *constraint;
        bool soft = has_word(which, "ScheduleAnyway"), counts = false;
        const struct sched_move *m;
        size_t i;

        json_array_foreach (json_at(x->object, "spec.topologySpreadConstraints"), i, constraint)
                counts |= soft || !streq(json_str_or(constraint, "whenUnsatisfiable", ""),
                                                  "ScheduleAnyway");
        if (!counts)
                return NULL;
        m = desched_move(d, x);
        return m && sched_move_skews(m, soft)
                               ? text_of("the pods of its topology spread constraint differ by "
                                         "more than maxSkew")
                               : NULL;
}

/* --- age and restarts --- */

/* The oldest first. */
static int64_t age_rank(const struct desched *d, const struct desched_strategy *s,
                const struct desched_pod *x) {
        return (int64_t)x->start_us;
}

static bool is_in_state(const struct desched_strategy *s, const json_t *pod) {
        static const char *const lists[] = {
                        "status.containerStatuses", "status.initContainerStatuses"};
        const json_t *container;
        size_t i;

        if (strv_length(s->words) == 0 ||
                        strv_contains(s->words, json_str_or(pod, "status.phase", "")))
                return true;
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(pod, lists[l]), i, container)
                        if (strv_contains(s->words,
                                            json_str_or(container, "state.waiting.reason", "")))
                                return true;
        return false;
}

static void age_begin(struct desched *d, struct desched_strategy *s) {
        read_words(s, "states");
}

static char *age_judge(struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        int64_t most = json_int_or(s->args, "maxPodLifeTimeSeconds", INT64_MAX);
        int64_t age = ((int64_t)d->now_us - (int64_t)x->start_us) / 1000000;

        if (x->start_us == 0 || age <= most || !is_in_state(s, x->object))
                return NULL;
        return text_of("it started %lld s ago, more than %lld s", (long long)age, (long long)most);
}

static int64_t restarts(const json_t *pod, const char *list) {
        const json_t *container;
        int64_t n = 0;
        size_t i;

        json_array_foreach (json_at(pod, list), i, container)
                n += json_int_or(container, "restartCount", 0);
        return n;
}

static char *restarts_judge(
                struct desched *d, const struct desched_strategy *s, struct desched_pod *x) {
        int64_t n = restarts(x->object, "status.containerStatuses");

        if (json_bool_or(s->args, "includingInitContainers", false))
                n += restarts(x->object, "status.initContainerStatuses");
        if (n < json_int_or(s->args, "podRestartThreshold", INT64_MAX))
                return NULL;
        return text_of("its containers were restarted %lld times", (long long)n);
}

/* --- the table --- */

static const struct desched_strategy_type types[] = {
                {.name = "LowNodeUtilization",
                                .needs_node = true,
                                .begin = low_begin,
                                .rank = low_rank,
                                .judge = low_judge,
                                .helps = low_helps},
                {.name = "HighNodeUtilization",
                                .needs_node = true,
                                .begin = high_begin,
                                .rank = high_rank,
                                .judge = high_judge,
                                .helps = high_helps},
                {.name = "RemoveDuplicates",
                                .needs_node = true,
                                .begin = duplicates_begin,
                                .judge = duplicates_judge,
                                .helps = duplicates_helps},
                {.name = "RemovePodsViolatingNodeAffinity", .judge = affinity_judge},
                {.name = "RemovePodsViolatingNodeTaints",
                                .begin = taints_begin,
                                .judge = taints_judge},
                {.name = "RemovePodsViolatingInterPodAntiAffinity", .judge = anti_judge},
                {.name = "RemovePodsViolatingTopologySpreadConstraint", .judge = spread_judge},
                {.name = "PodLifeTime",
                                .may_return = true,
                                .begin = age_begin,
                                .rank = age_rank,
                                .judge = age_judge},
                {.name = "RemovePodsHavingTooManyRestarts",
                                .may_return = true,
                                .judge = restarts_judge},
};

const struct desched_strategy_type *desched_strategy_find(const char *name) {
        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (streq(types[i].name, name))
                        return &types[i];
        return NULL;
}
