/* Deschedulings: their times, thresholds, and which argument belongs to which strategy. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

#define INTERVAL_MIN_US (10 * UINT64_C(1000000))

/* Arguments that only some strategies have. */
static const struct argument {
        const char *name;
        const char *strategies[2];
        bool required;
} arguments[] = {
                {"thresholds", {"LowNodeUtilization", "HighNodeUtilization"}, true},
                {"targetThresholds", {"LowNodeUtilization"}, true},
                {"useDeviationThresholds", {"LowNodeUtilization"}, false},
                {"numberOfNodes", {"LowNodeUtilization", "HighNodeUtilization"}, false},
                {"excludeOwnerKinds", {"RemoveDuplicates"}, false},
                {"excludedTaints", {"RemovePodsViolatingNodeTaints"}, false},
                {"constraints", {"RemovePodsViolatingTopologySpreadConstraint"}, false},
                {"maxPodLifeTimeSeconds", {"PodLifeTime"}, true},
                {"states", {"PodLifeTime"}, false},
                {"podRestartThreshold", {"RemovePodsHavingTooManyRestarts"}, true},
                {"includingInitContainers", {"RemovePodsHavingTooManyRestarts"}, false},
};

static bool belongs(const struct argument *a, const char *strategy) {
        for (size_t i = 0; i < ELEMENTS(a->strategies) && a->strategies[i]; i++)
                if (streq(a->strategies[i], strategy))
                        return true;
        return false;
}

static void check_arguments(struct findings *f, const json_t *strategy) {
        const char *name = json_str_or(strategy, "name", "");

        for (size_t i = 0; i < ELEMENTS(arguments); i++) {
                const struct argument *a = &arguments[i];
                const json_t *v = json_object_get(strategy, a->name);

                if (!v && a->required && belongs(a, name))
                        finding_add(f, FINDING_REQUIRED, a->name, NULL, "%s needs it", name);
                else if (v && !belongs(a, name))
                        finding_add(f, FINDING_FORBIDDEN, a->name, NULL,
                                        "it is an argument of %s%s%s, not of %s", a->strategies[0],
                                        a->strategies[1] ? " and " : "", strempty(a->strategies[1]),
                                        name);
        }
}

/* --- thresholds --- */

static void check_percentages(struct findings *f, const json_t *strategy, const char *field) {
        const json_t *map = json_object_get(strategy, field);
        size_t at = findings_push(f, field);
        const char *resource;
        json_t *v;

        if (map && json_object_size(map) == 0)
                finding_add(f, FINDING_INVALID, NULL, map,
                                "name at least one resource, for example {cpu: 20, memory: 20, "
                                "pods: 20}");
        json_object_each (map, resource, v) {
                size_t inner = findings_push_key(f, resource);

                if (json_number_value(v) < 0 || json_number_value(v) > 100)
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "is a percentage and must be between 0 and 100");
                findings_pop(f, inner);
        }
        findings_pop(f, at);
}

/* Both name the same resources, and a node cannot be below and above at once. */
static void check_targets(struct findings *f, const json_t *strategy) {
        const json_t *low = json_object_get(strategy, "thresholds"),
                     *high = json_object_get(strategy, "targetThresholds"), *other;
        bool distances = json_bool_or(strategy, "useDeviationThresholds", false);
        size_t at = findings_push(f, "targetThresholds");
        const char *resource;
        json_t *v;

        json_object_each (low, resource, v)
                if (!json_object_get(high, resource))
                        finding_add(f, FINDING_REQUIRED, resource, NULL,
                                        "thresholds names %s, so a target is needed too", resource);
        json_object_each (high, resource, v) {
                size_t inner = findings_push_key(f, resource);

                other = json_object_get(low, resource);
                if (!other)
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "thresholds must name the resource %s too", resource);
                else if (!distances && json_number_value(other) > json_number_value(v))
                        finding_add(f, FINDING_INVALID, NULL, v,
                                        "the target must not be below the threshold %g",
                                        json_number_value(other));
                findings_pop(f, inner);
        }
        findings_pop(f, at);
}

static void check_strategies(struct findings *f, const json_t *object) {
        const char *scoring =
                        json_str_or(object, "spec.scheduler.scoringStrategy", "LeastAllocated");
        size_t at = findings_push(f, "spec.strategies"), i;
        const json_t *strategy;

        json_array_foreach (json_at(object, "spec.strategies"), i, strategy) {
                const char *name = json_str_or(strategy, "name", "");
                size_t inner = findings_push_index(f, i);

                check_arguments(f, strategy);
                check_percentages(f, strategy, "thresholds");
                check_percentages(f, strategy, "targetThresholds");
                if (streq(name, "LowNodeUtilization"))
                        check_targets(f, strategy);
                if (streq(name, "HighNodeUtilization") && !streq(scoring, "MostAllocated"))
                        finding_add(f, FINDING_INVALID, "name", json_object_get(strategy, "name"),
                                        "a scheduler that prefers empty nodes would spread the "
                                        "pods again: give them a scheduler whose NodeResourcesFit "
                                        "scores MostAllocated, and say so in "
                                        "spec.scheduler.scoringStrategy");
                findings_pop(f, inner);
        }
        findings_pop(f, at);
}

/* --- the rest --- */

static void check_times(struct findings *f, const json_t *object) {
        const json_t *schedule = json_at(object, "spec.schedule"),
                     *interval = json_at(object, "spec.interval"),
                     *zone = json_at(object, "spec.timeZone");
        uint64_t us;

        if (schedule && interval)
                finding_add(f, FINDING_INVALID, "spec.interval", interval,
                                "give either schedule or interval, not both");
        if (zone && !schedule)
                finding_add(f, FINDING_INVALID, "spec.timeZone", zone,
                                "has a meaning only with spec.schedule");
        if (schedule)
                strategy_validate_schedule(f, schedule);
        strategy_validate_zone(f, zone);
        if (interval && parse_duration_us(strempty(json_string_value(interval)), &us) == 0 &&
                        us < INTERVAL_MIN_US)
                finding_add(f, FINDING_INVALID, "spec.interval", interval, "must be at least 10s");
}

static void check_selector(struct findings *f, const json_t *object, const char *path) {
        const json_t *selector = json_at(object, path);
        size_t at = findings_push(f, path);

        if (selector)
                strategy_validate_label_selector(f, selector);
        findings_pop(f, at);
}

static void descheduling_validate(struct findings *f, const json_t *object) {
        const json_t *namespaces = json_at(object, "spec.filter.namespaces"),
                     *priority = json_at(object, "spec.filter.priorityThreshold");

        check_times(f, object);
        check_strategies(f, object);
        check_selector(f, object, "spec.filter.labelSelector");
        check_selector(f, object, "spec.filter.nodeSelector");
        if (json_object_get(namespaces, "include") && json_object_get(namespaces, "exclude"))
                finding_add(f, FINDING_INVALID, "spec.filter.namespaces", namespaces,
                                "give either include or exclude, not both");
        if (priority && json_object_size(priority) != 1)
                finding_add(f, FINDING_INVALID, "spec.filter.priorityThreshold", priority,
                                "give either name or value");
}

const struct kind_strategy strategies_descheduling[] = {
                {.group = "keelson.dev", .kind = "Descheduling", .validate = descheduling_validate},
                {0},
};
