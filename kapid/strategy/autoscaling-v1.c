/* autoscaling/v1 HorizontalPodAutoscalers know one metric, the CPU of the pods. Everything else of
 * the stored form (v2) is in annotations, with the names that Kubernetes gave them:
 *
 *      autoscaling.alpha.kubernetes.io/metrics           spec.metrics but the CPU
 *      autoscaling.alpha.kubernetes.io/behavior          spec.behavior, capitalized
 *      autoscaling.alpha.kubernetes.io/current-metrics   status.currentMetrics
 *      autoscaling.alpha.kubernetes.io/conditions        status.conditions
 *
 * A metric there has the flat form that v2beta1 had ("targetAverageValue"). An annotation is a
 * user's text, and no schema has seen it: only known fields of the right form are taken from it
 * (clients of v2 could not read any list with others in it), and one that is not JSON is dropped.
 */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#define ANNOTATION(name) "autoscaling.alpha.kubernetes.io/" name
#define METRICS ANNOTATION("metrics")
#define CURRENT_METRICS ANNOTATION("current-metrics")
#define BEHAVIOR ANNOTATION("behavior")
#define CONDITIONS ANNOTATION("conditions")

/* --- forms of fields --- */

enum form { TEXT, AMOUNT, INT32, SELECTOR };

static bool is_string_or_absent(const json_t *v) {
        return !v || json_is_string(v);
}

static bool is_list_or_absent(const json_t *v) {
        return !v || json_is_array(v);
}

static bool is_selector(const json_t *v) {
        const json_t *labels = json_object_get(v, "matchLabels"),
                     *list = json_object_get(v, "matchExpressions"), *e, *text;
        const char *key;
        json_t *label;
        size_t i, k;

        if (!json_is_object(v) || (labels && !json_is_object(labels)) || !is_list_or_absent(list))
                return false;
        json_object_each (labels, key, label)
                if (!json_is_string(label))
                        return false;
        json_array_foreach (list, i, e) {
                const json_t *values = json_object_get(e, "values");

                if (!json_is_object(e) || !is_list_or_absent(values) ||
                                !is_string_or_absent(json_object_get(e, "key")) ||
                                !is_string_or_absent(json_object_get(e, "operator")))
                        return false;
                json_array_foreach (values, k, text)
                        if (!json_is_string(text))
                                return false;
        }
        return true;
}

static bool has_form(const json_t *v, enum form form) {
        switch (form) {
        case TEXT:
                return json_is_string(v);
        case AMOUNT:
                return json_is_string(v) && !format_check(FORMAT_QUANTITY, json_string_value(v));
        case INT32:
                return json_is_integer(v) && json_integer_value(v) >= INT32_MIN &&
                       json_integer_value(v) <= INT32_MAX;
        case SELECTOR:
                return is_selector(v);
        }
        return false;
}

/* --- metrics: rows of (source, path in v2, path in v1) --- */

struct row {
        const char *source, *path, *old;
        enum form form;
};

static const struct row spec_rows[] = {
                {"resource", "name", "name", TEXT},
                {"resource", "target.averageUtilization", "targetAverageUtilization", INT32},
                {"resource", "target.averageValue", "targetAverageValue", AMOUNT},
                {"containerResource", "name", "name", TEXT},
                {"containerResource", "container", "container", TEXT},
                {"containerResource", "target.averageUtilization", "targetAverageUtilization",
                                INT32},
                {"containerResource", "target.averageValue", "targetAverageValue", AMOUNT},
                {"pods", "metric.name", "metricName", TEXT},
                {"pods", "metric.selector", "selector", SELECTOR},
                {"pods", "target.averageValue", "targetAverageValue", AMOUNT},
                {"object", "describedObject.kind", "target.kind", TEXT},
                {"object", "describedObject.name", "target.name", TEXT},
                {"object", "describedObject.apiVersion", "target.apiVersion", TEXT},
                {"object", "metric.name", "metricName", TEXT},
                {"object", "metric.selector", "selector", SELECTOR},
                {"object", "target.value", "targetValue", AMOUNT},
                {"object", "target.averageValue", "averageValue", AMOUNT},
                {"external", "metric.name", "metricName", TEXT},
                {"external", "metric.selector", "metricSelector", SELECTOR},
                {"external", "target.value", "targetValue", AMOUNT},
                {"external", "target.averageValue", "targetAverageValue", AMOUNT},
                {0},
};

static const struct row status_rows[] = {
                {"resource", "name", "name", TEXT},
                {"resource", "current.averageUtilization", "currentAverageUtilization", INT32},
                {"resource", "current.averageValue", "currentAverageValue", AMOUNT},
                {"containerResource", "name", "name", TEXT},
                {"containerResource", "container", "container", TEXT},
                {"containerResource", "current.averageUtilization", "currentAverageUtilization",
                                INT32},
                {"containerResource", "current.averageValue", "currentAverageValue", AMOUNT},
                {"pods", "metric.name", "metricName", TEXT},
                {"pods", "metric.selector", "selector", SELECTOR},
                {"pods", "current.averageValue", "currentAverageValue", AMOUNT},
                {"object", "describedObject.kind", "target.kind", TEXT},
                {"object", "describedObject.name", "target.name", TEXT},
                {"object", "describedObject.apiVersion", "target.apiVersion", TEXT},
                {"object", "metric.name", "metricName", TEXT},
                {"object", "metric.selector", "selector", SELECTOR},
                {"object", "current.value", "currentValue", AMOUNT},
                {"object", "current.averageValue", "averageValue", AMOUNT},
                {"external", "metric.name", "metricName", TEXT},
                {"external", "metric.selector", "metricSelector", SELECTOR},
                {"external", "current.value", "currentValue", AMOUNT},
                {"external", "current.averageValue", "currentAverageValue", AMOUNT},
                {0},
};

/* target.type, which v1 has not: it follows from what is set. */
static int add_target_type(json_t *metric, const char *source) {
        static const struct {
                const char *field, *type;
        } types[] = {{"averageUtilization", "Utilization"}, {"averageValue", "AverageValue"},
                        {"value", "Value"}};
        json_t *target = json_object_get(json_object_get(metric, source), "target");

        for (size_t i = 0; i < ELEMENTS(types); i++)
                if (json_object_get(target, types[i].field))
                        return json_set_str(target, "type", types[i].type);
        return 0;
}

/* Status values are in an object that v2 requires, even if it is empty. */
static int convert_metric(const json_t *metric, const struct row *rows, bool to_old, json_t **ret) {
        _cleanup_json_ json_t *made = json_pack("{ss}", "type", json_str_or(metric, "type", ""));
        int r;

        if (!made)
                return -ENOMEM;
        for (; rows->source; rows++) {
                const json_t *from = json_object_get(metric, rows->source),
                             *v = json_at(from, to_old ? rows->path : rows->old);
                _cleanup_free_ char *path = NULL;

                if (!has_form(v, rows->form))
                        continue;
                path = strformat("%s.%s", rows->source, to_old ? rows->old : rows->path);
                r = path ? json_set_at(made, path, json_ref(v)) : -ENOMEM;
                if (r < 0)
                        return r;
                r = to_old || !startswith(rows->path, "target.")
                                    ? 0
                                    : add_target_type(made, rows->source);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(made);
        return 0;
}

static int convert_metrics(const json_t *list, const struct row *rows, bool to_old, json_t *into) {
        const json_t *metric;
        size_t i;

        json_array_foreach (list, i, metric) {
                json_t *made = NULL;
                int r = convert_metric(metric, rows, to_old, &made);

                if (r < 0)
                        return r;
                if (json_array_append_new(into, made) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* --- behaviour: the same fields, capitalized --- */

static const struct row behavior_rows[] =
                {
                                {NULL, "stabilizationWindowSeconds", "StabilizationWindowSeconds",
                                                INT32},
                                {NULL, "selectPolicy", "SelectPolicy", TEXT},
                                {NULL, "tolerance", "Tolerance", AMOUNT},
},
                        policy_rows[] = {
                                        {NULL, "type", "Type", TEXT},
                                        {NULL, "value", "Value", INT32},
                                        {NULL, "periodSeconds", "PeriodSeconds", INT32},
};

static int copy_fields(
                const json_t *from, json_t *to, const struct row *rows, size_t n, bool to_old) {
        for (size_t i = 0; i < n; i++) {
                json_t *v = json_object_get(from, to_old ? rows[i].path : rows[i].old);

                if (!has_form(v, rows[i].form))
                        continue;
                if (json_object_set(to, to_old ? rows[i].old : rows[i].path, v) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int convert_rules(const json_t *rules, bool to_old, json_t *into) {
        const char *from = to_old ? "policies" : "Policies", *to = to_old ? "Policies" : "policies";
        const json_t *policies = json_object_get(rules, from), *policy;
        json_t *list;
        size_t i;
        int r = copy_fields(rules, into, behavior_rows, ELEMENTS(behavior_rows), to_old);

        if (r < 0 || !json_is_array(policies))
                return r;
        list = json_array();
        if (!list || json_object_set_new(into, to, list) < 0)
                return -ENOMEM;
        json_array_foreach (policies, i, policy) {
                json_t *made = json_object();

                if (!made || json_array_append_new(list, made) < 0)
                        return -ENOMEM;
                r = copy_fields(policy, made, policy_rows, ELEMENTS(policy_rows), to_old);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int convert_behavior(const json_t *behavior, bool to_old, json_t **ret) {
        static const char *const names[][2] = {{"scaleUp", "ScaleUp"}, {"scaleDown", "ScaleDown"}};
        _cleanup_json_ json_t *made = json_object();

        if (!made)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                const json_t *rules = json_object_get(behavior, names[i][to_old ? 0 : 1]);
                json_t *into = json_is_object(rules) ? json_object() : NULL;
                int r;

                if (!json_is_object(rules))
                        continue;
                if (!into || json_object_set_new(made, names[i][to_old ? 1 : 0], into) < 0)
                        return -ENOMEM;
                r = convert_rules(rules, to_old, into);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(made);
        return 0;
}

/* --- annotations --- */

static int write_annotation(json_t *object, const char *key, const json_t *v) {
        _cleanup_free_ char *text = json_text(v);
        json_t *annotations;
        int r;

        if (!text)
                return -ENOMEM;
        if (!json_is_object(json_at(object, "metadata.annotations"))) {
                r = json_set_at(object, "metadata.annotations", json_object());
                if (r < 0)
                        return r;
        }
        annotations = json_at_mut(object, "metadata.annotations");
        return json_object_set_new(annotations, key, json_string(text)) < 0 ? -ENOMEM : 0;
}

/* Removes the annotation. 1 with its contents, 0 where there is none, or none that is JSON. */
static int take_annotation(json_t *object, const char *key, json_t **ret) {
        json_t *annotations = json_at_mut(object, "metadata.annotations");
        const char *text = json_string_value(json_object_get(annotations, key));
        int r;

        if (!text)
                return 0;
        r = json_parse(text, strlen(text), 0, ret, NULL);
        if (r == -ENOMEM)
                return r;
        json_object_del(annotations, key);
        if (json_object_size(annotations) == 0)
                json_del_at(object, "metadata.annotations");
        return r < 0 ? 0 : 1;
}

/* --- v2 to v1 --- */

/* In v2 these annotations mean nothing. Left there, a write of the v1 form would take them for
 * fields. */
static void drop_annotations(json_t *object) {
        static const char *const keys[] = {METRICS, CURRENT_METRICS, BEHAVIOR, CONDITIONS};
        json_t *annotations = json_at_mut(object, "metadata.annotations");

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                json_object_del(annotations, keys[i]);
        if (annotations && json_object_size(annotations) == 0)
                json_del_at(object, "metadata.annotations");
}

static bool is_cpu(const json_t *metric, const char *path) {
        return streq(json_str_or(metric, "type", ""), "Resource") &&
               streq(json_str_or(metric, "resource.name", ""), "cpu") &&
               json_is_integer(json_at(metric, path));
}

static int spec_to_v1(json_t *object) {
        static const char target[] = "resource.target.averageUtilization";
        _cleanup_json_ json_t *others = json_array(), *old = json_array(), *behavior = NULL;
        json_t *spec = json_object_get(object, "spec"), *metric;
        const json_t *cpu = NULL;
        size_t i;
        int r;

        if (!others || !old)
                return -ENOMEM;
        json_array_foreach (json_object_get(spec, "metrics"), i, metric) {
                if (!cpu && is_cpu(metric, target))
                        cpu = json_at(metric, target);
                else if (json_array_append(others, metric) < 0)
                        return -ENOMEM;
        }
        if (cpu && json_object_set(spec, "targetCPUUtilizationPercentage", json_unconst(cpu)) < 0)
                return -ENOMEM;
        json_object_del(spec, "metrics");
        r = convert_metrics(others, spec_rows, true, old);
        if (r < 0)
                return r;
        if (json_array_size(old) > 0) {
                r = write_annotation(object, METRICS, old);
                if (r < 0)
                        return r;
        }
        if (!json_object_get(spec, "behavior"))
                return 0;
        r = convert_behavior(json_object_get(spec, "behavior"), true, &behavior);
        if (r < 0)
                return r;
        json_object_del(spec, "behavior");
        return write_annotation(object, BEHAVIOR, behavior);
}

static int status_to_v1(json_t *object) {
        static const char now[] = "resource.current.averageUtilization";
        _cleanup_json_ json_t *old = json_array();
        json_t *status = json_object_get(object, "status"), *metric;
        const json_t *conditions = json_object_get(status, "conditions");
        size_t i;
        int r;

        if (!old)
                return -ENOMEM;
        json_array_foreach (json_object_get(status, "currentMetrics"), i, metric)
                if (is_cpu(metric, now) &&
                                json_object_set(status, "currentCPUUtilizationPercentage",
                                                json_unconst(json_at(metric, now))) < 0)
                        return -ENOMEM;
        r = convert_metrics(json_object_get(status, "currentMetrics"), status_rows, true, old);
        if (r < 0)
                return r;
        if (json_array_size(old) > 0) {
                r = write_annotation(object, CURRENT_METRICS, old);
                if (r < 0)
                        return r;
        }
        if (json_array_size(conditions) > 0) {
                r = write_annotation(object, CONDITIONS, conditions);
                if (r < 0)
                        return r;
        }
        json_object_del(status, "currentMetrics");
        json_object_del(status, "conditions");
        return 0;
}

/* --- v1 to v2 --- */

static int metrics_from_v1(json_t *object, json_t *spec) {
        _cleanup_json_ json_t *metrics = json_array(), *others = NULL;
        json_t *cpu = json_object_get(spec, "targetCPUUtilizationPercentage");
        int r;

        if (!metrics)
                return -ENOMEM;
        if (cpu && json_array_append_new(metrics,
                                   json_pack("{ss, s:{ss, s:{ss, sO}}}", "type", "Resource",
                                                   "resource", "name", "cpu", "target", "type",
                                                   "Utilization", "averageUtilization", cpu)) < 0)
                return -ENOMEM;
        json_object_del(spec, "targetCPUUtilizationPercentage");
        r = take_annotation(object, METRICS, &others);
        if (r < 0)
                return r;
        r = convert_metrics(others, spec_rows, false, metrics);
        if (r < 0)
                return r;
        if (json_array_size(metrics) == 0) {
                json_decref(metrics);
                metrics = strategy_default_hpa_metrics();
        }
        return metrics && json_object_set(spec, "metrics", metrics) == 0 ? 0 : -ENOMEM;
}

static int behavior_from_v1(json_t *object, json_t *spec) {
        _cleanup_json_ json_t *old = NULL;
        json_t *behavior = NULL;
        int r = take_annotation(object, BEHAVIOR, &old);

        if (r <= 0 || !json_is_object(old))
                return r;
        r = convert_behavior(old, false, &behavior);
        if (r < 0)
                return r;
        if (json_object_set_new(spec, "behavior", behavior) < 0)
                return -ENOMEM;
        return strategy_default_hpa_behavior(behavior);
}

/* A new reference; NULL: no memory. */
static json_t *condition_from_v1(const json_t *old) {
        static const char *const fields[] = {
                        "type", "status", "lastTransitionTime", "reason", "message"};
        json_t *made = json_object();
        uint64_t us;

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                json_t *v = json_object_get(old, fields[i]);

                if (!json_is_string(v) ||
                                (streq(fields[i], "lastTransitionTime") &&
                                                time_parse(json_string_value(v), &us) < 0))
                        continue;
                if (json_object_set(made, fields[i], v) < 0) {
                        json_decref(made);
                        return NULL;
                }
        }
        return made;
}

static bool is_condition(const json_t *v) {
        const char *status = json_str_or(v, "status", "");

        return !isempty(json_str_or(v, "type", "")) &&
               (streq(status, "True") || streq(status, "False") || streq(status, "Unknown"));
}

/* Only conditions in the form that the API gives them. */
static int conditions_from_v1(json_t *object, json_t *status) {
        _cleanup_json_ json_t *old = NULL, *conditions = json_array();
        const json_t *c;
        size_t i;
        int r = take_annotation(object, CONDITIONS, &old);

        if (r <= 0)
                return r;
        json_array_foreach (old, i, c)
                if (is_condition(c) && json_array_append_new(conditions, condition_from_v1(c)) < 0)
                        return -ENOMEM;
        if (!status || json_array_size(conditions) == 0)
                return 0;
        return json_object_set(status, "conditions", conditions) < 0 ? -ENOMEM : 0;
}

static int status_from_v1(json_t *object) {
        _cleanup_json_ json_t *metrics = json_array(), *old = NULL;
        json_t *status = json_object_get(object, "status"),
               *cpu = json_object_get(status, "currentCPUUtilizationPercentage");
        int r = take_annotation(object, CURRENT_METRICS, &old);

        if (r < 0)
                return r;
        r = convert_metrics(old, status_rows, false, metrics);
        if (r < 0)
                return r;
        /* The annotation says more. */
        if (cpu && json_array_size(metrics) == 0 &&
                        json_array_append_new(metrics,
                                        json_pack("{ss, s:{ss, s:{sO}}}", "type", "Resource",
                                                        "resource", "name", "cpu", "current",
                                                        "averageUtilization", cpu)) < 0)
                return -ENOMEM;
        json_object_del(status, "currentCPUUtilizationPercentage");
        if (status && json_array_size(metrics) > 0 &&
                        json_object_set(status, "currentMetrics", metrics) < 0)
                return -ENOMEM;
        return conditions_from_v1(object, status);
}

int strategy_convert_hpa(
                const struct kind *k, const char *to_version, json_t *object, struct problem *p) {
        bool is_v1 = streq(object_api_version(object), "autoscaling/v1"),
             to_v1 = streq(to_version, "v1");
        json_t *spec = json_object_get(object, "spec");
        int r = 0;

        if (is_v1 == to_v1)
                return 0;
        if (to_v1) {
                drop_annotations(object);
                r = spec_to_v1(object);
                return r < 0 ? r : status_to_v1(object);
        }
        if (json_is_object(spec)) {
                r = metrics_from_v1(object, spec);
                if (r < 0)
                        return r;
                r = behavior_from_v1(object, spec);
                if (r < 0)
                        return r;
        }
        return status_from_v1(object);
}
