/* HorizontalPodAutoscalers: defaults and validation; autoscaling/v1 is in autoscaling-v1.c. The
 * rules and words are those of kube-apiserver's validation. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"
#include "lib/quantity.h"

#define V1_METRICS "autoscaling.alpha.kubernetes.io/metrics"
enum { DEFAULT_CPU_PERCENT = 80, WINDOW_MAX_S = 3600, PERIOD_MAX_S = 1800 };
/* Of metrics, and of policies: kreconciled looks at all of them, for each pod, every 15 s. */
enum { ITEMS_MAX = 100 };

/* --- defaults --- */

static int set_absent(json_t *rules, const char *key, json_t *value) {
        if (!value)
                return -ENOMEM;
        if (json_object_get(rules, key)) {
                json_decref(value);
                return 0;
        }
        return json_object_set_new(rules, key, value) < 0 ? -ENOMEM : 0;
}

static json_t *policy(const char *type, int value) {
        return json_pack("{ss, si, si}", "type", type, "value", value, "periodSeconds", 15);
}

int strategy_default_hpa_behavior(json_t *behavior) {
        json_t *up, *down;
        int r = set_absent(behavior, "scaleUp", json_object());

        if (r < 0)
                return r;
        r = set_absent(behavior, "scaleDown", json_object());
        if (r < 0)
                return r;
        up = json_object_get(behavior, "scaleUp");
        down = json_object_get(behavior, "scaleDown");
        if (!json_is_object(up) || !json_is_object(down))
                return 0; /* validation refuses it */
        r = set_absent(up, "stabilizationWindowSeconds", json_integer(0));
        if (r < 0)
                return r;
        r = set_absent(up, "selectPolicy", json_string("Max"));
        if (r < 0)
                return r;
        r = set_absent(up, "policies",
                        json_pack("[o, o]", policy("Pods", 4), policy("Percent", 100)));
        if (r < 0)
                return r;
        r = set_absent(down, "selectPolicy", json_string("Max"));
        if (r < 0)
                return r;
        return set_absent(down, "policies", json_pack("[o]", policy("Percent", 100)));
}

json_t *strategy_default_hpa_metrics(void) {
        return json_pack("[{ss, s:{ss, s:{ss, si}}}]", "type", "Resource", "resource", "name",
                        "cpu", "target", "type", "Utilization", "averageUtilization",
                        DEFAULT_CPU_PERCENT);
}

static int hpa_defaults(json_t *object) {
        json_t *spec = json_object_get(object, "spec"),
               *behavior = json_object_get(spec, "behavior"), *metrics;

        if (!json_is_object(spec))
                return 0;
        /* In v1 the conversion makes the metrics, of the annotation where there is one. */
        if (streq(object_api_version(object), "autoscaling/v1"))
                return json_get(object, "metadata", "annotations", V1_METRICS, NULL)
                                       ? 0
                                       : set_absent(spec, "targetCPUUtilizationPercentage",
                                                         json_integer(DEFAULT_CPU_PERCENT));
        if (json_array_size(json_object_get(spec, "metrics")) == 0) {
                metrics = strategy_default_hpa_metrics();
                if (!metrics || json_object_set_new(spec, "metrics", metrics) < 0)
                        return -ENOMEM;
        }
        return json_is_object(behavior) ? strategy_default_hpa_behavior(behavior) : 0;
}

/* --- validation --- */

static void validate_word(struct findings *f, const json_t *object, const char *field) {
        const json_t *v = json_object_get(object, field);
        const char *text = strempty(json_string_value(v));

        if (!*text)
                finding_add(f, FINDING_REQUIRED, field, NULL, NULL);
        else if (streq(text, ".") || streq(text, "..") || strpbrk(text, "/%"))
                finding_add(f, FINDING_INVALID, field, v,
                                "may not be '.' or '..', nor contain '/' "
                                "or '%%'");
}

static void validate_reference(struct findings *f, const json_t *ref, const char *field) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const char *api_version = json_str_or(ref, "apiVersion", "");
        size_t at = findings_push(f, field);

        validate_word(f, ref, "kind");
        validate_word(f, ref, "name");
        if (*api_version && object_split_api_version(api_version, group, version) < 0)
                finding_add(f, FINDING_INVALID, "apiVersion", json_object_get(ref, "apiVersion"),
                                "must be a version, or a group and a version (apps/v1)");
        findings_pop(f, at);
}

/* An amount above 0; absent is fine. */
static void validate_amount(struct findings *f, const json_t *target, const char *field) {
        const json_t *v = json_object_get(target, field);
        int sign;

        if (!v)
                return;
        if (quantity_compare(v, NULL, &sign) < 0 || sign <= 0)
                finding_add(f, FINDING_INVALID, field, v, "must be positive");
}

/* wanted: the fields of which one must be set; only_one: and not both. */
static void validate_target(struct findings *f, const json_t *source, const char *const *wanted,
                bool only_one, const char *missing) {
        static const char *const types[] = {"Utilization", "Value", "AverageValue"};
        const json_t *target = json_object_get(source, "target"),
                     *type = json_object_get(target, "type"),
                     *percent = json_object_get(target, "averageUtilization");
        size_t at = findings_push(f, "target"), known = 0, set = 0;

        for (size_t i = 0; i < ELEMENTS(types); i++)
                known += streq(strempty(json_string_value(type)), types[i]);
        if (!type)
                finding_add(f, FINDING_REQUIRED, "type", NULL, "must specify a metric target type");
        else if (!known)
                finding_add(f, FINDING_INVALID, "type", type,
                                "must be either Utilization, Value, or AverageValue");
        if (percent && json_integer_value(percent) < 1)
                finding_add(f, FINDING_INVALID, "averageUtilization", percent,
                                "must be greater than 0");
        validate_amount(f, target, "value");
        validate_amount(f, target, "averageValue");
        for (size_t i = 0; wanted[i]; i++)
                set += json_object_get(target, wanted[i]) != NULL;
        if (set == 0)
                finding_add(f, FINDING_REQUIRED, wanted[0], NULL, "%s", missing);
        else if (set > 1 && only_one)
                finding_add(f, FINDING_FORBIDDEN, wanted[1], NULL, "may not set both %s and %s",
                                wanted[0], wanted[1]);
        findings_pop(f, at);
}

static void validate_named(
                struct findings *f, const json_t *source, const char *field, const char *missing) {
        if (isempty(json_string_value(json_object_get(source, field))))
                finding_add(f, FINDING_REQUIRED, field, NULL, "%s", missing);
}

static void validate_resource(struct findings *f, const json_t *source) {
        static const char *const wanted[] = {"averageUtilization", "averageValue", NULL};

        validate_named(f, source, "name", "must specify a resource name");
        validate_target(f, source, wanted, /* only_one= */ true,
                        "must set either a target raw value or a target utilization");
}

static void validate_container_resource(struct findings *f, const json_t *source) {
        validate_named(f, source, "container", "must specify a container");
        validate_resource(f, source);
}

static void validate_identifier(struct findings *f, const json_t *source) {
        size_t at = findings_push(f, "metric"), inner;
        const json_t *metric = json_object_get(source, "metric");

        if (isempty(json_string_value(json_object_get(metric, "name"))))
                finding_add(f, FINDING_REQUIRED, "name", NULL, "must specify a metric name");
        else
                validate_word(f, metric, "name");
        inner = findings_push(f, "selector");
        strategy_validate_label_selector(f, json_object_get(metric, "selector"));
        findings_pop(f, inner);
        findings_pop(f, at);
}

static void validate_pods(struct findings *f, const json_t *source) {
        static const char *const wanted[] = {"averageValue", NULL};

        validate_identifier(f, source);
        validate_target(f, source, wanted, /* only_one= */ true,
                        "must specify a positive target averageValue");
}

static const char *const amounts[] = {"value", "averageValue", NULL};

static void validate_external(struct findings *f, const json_t *source) {
        validate_identifier(f, source);
        validate_target(f, source, amounts, /* only_one= */ true,
                        "must set either a target value for metric or a per-pod target");
}

static void validate_object(struct findings *f, const json_t *source) {
        validate_reference(f, json_object_get(source, "describedObject"), "describedObject");
        validate_identifier(f, source);
        validate_target(f, source, amounts, /* only_one= */ false,
                        "must set either a target value for metric or a per-pod target");
}

static const struct {
        const char *type, *field;
        void (*validate)(struct findings *f, const json_t *source);
} sources[] = {
                {"ContainerResource", "containerResource", validate_container_resource},
                {"External", "external", validate_external},
                {"Object", "object", validate_object},
                {"Pods", "pods", validate_pods},
                {"Resource", "resource", validate_resource},
};

static void validate_metric(struct findings *f, const json_t *metric) {
        const json_t *type = json_object_get(metric, "type");
        bool known = false;

        for (size_t i = 0; i < ELEMENTS(sources); i++) {
                const json_t *source = json_object_get(metric, sources[i].field);
                bool chosen = streq(strempty(json_string_value(type)), sources[i].type);
                size_t at = findings_push(f, sources[i].field);

                known |= chosen;
                if (chosen && !json_is_object(source))
                        finding_add(f, FINDING_REQUIRED, NULL, NULL,
                                        "must populate information for the given metric source");
                else if (chosen)
                        sources[i].validate(f, source);
                else if (source)
                        finding_add(f, FINDING_FORBIDDEN, NULL, NULL,
                                        "must populate the given metric source only");
                findings_pop(f, at);
        }
        if (!known)
                finding_add(f, FINDING_NOT_SUPPORTED, "type", type,
                                "supported values: \"ContainerResource\", \"External\", "
                                "\"Object\", \"Pods\", \"Resource\"");
}

static void validate_policy(struct findings *f, const json_t *policy) {
        const json_t *type = json_object_get(policy, "type"),
                     *value = json_object_get(policy, "value"),
                     *period = json_object_get(policy, "periodSeconds");
        const char *text = strempty(json_string_value(type));

        if (!streq(text, "Pods") && !streq(text, "Percent"))
                finding_add(f, FINDING_NOT_SUPPORTED, "type", type,
                                "supported values: \"Percent\", \"Pods\"");
        if (json_integer_value(value) <= 0)
                finding_add(f, FINDING_INVALID, "value", value, "must be greater than zero");
        if (json_integer_value(period) <= 0)
                finding_add(f, FINDING_INVALID, "periodSeconds", period,
                                "must be greater than zero");
        else if (json_integer_value(period) > PERIOD_MAX_S)
                finding_add(f, FINDING_INVALID, "periodSeconds", period,
                                "must be less than or equal to %i", PERIOD_MAX_S);
}

static void validate_count(struct findings *f, const char *field, const json_t *list) {
        if (json_array_size(list) > ITEMS_MAX)
                finding_add(f, FINDING_TOO_MANY, field, NULL, "%zu: must have at most %i items",
                                json_array_size(list), ITEMS_MAX);
}

static void validate_rules(struct findings *f, const json_t *behavior, const char *direction) {
        const json_t *rules = json_object_get(behavior, direction),
                     *window = json_object_get(rules, "stabilizationWindowSeconds"),
                     *select = json_object_get(rules, "selectPolicy"),
                     *tolerance = json_object_get(rules, "tolerance"),
                     *policies = json_object_get(rules, "policies"), *policy;
        const char *word = json_string_value(select);
        size_t at = findings_push(f, direction), i, inner;
        int sign;

        if (window && json_integer_value(window) < 0)
                finding_add(f, FINDING_INVALID, "stabilizationWindowSeconds", window,
                                "must be greater than or equal to zero");
        else if (window && json_integer_value(window) > WINDOW_MAX_S)
                finding_add(f, FINDING_INVALID, "stabilizationWindowSeconds", window,
                                "must be less than or equal to %i", WINDOW_MAX_S);
        if (select && (!word || (!streq(word, "Max") && !streq(word, "Min") &&
                                                !streq(word, "Disabled"))))
                finding_add(f, FINDING_NOT_SUPPORTED, "selectPolicy", select,
                                "supported values: \"Disabled\", \"Max\", \"Min\"");
        if (tolerance && (quantity_compare(tolerance, NULL, &sign) < 0 || sign < 0))
                finding_add(f, FINDING_INVALID, "tolerance", tolerance,
                                "must be greater or equal to zero");
        if (rules && json_array_size(policies) == 0)
                finding_add(f, FINDING_REQUIRED, "policies", NULL,
                                "must specify at least one Policy");
        validate_count(f, "policies", policies);
        inner = findings_push(f, "policies");
        json_array_foreach (policies, i, policy) {
                size_t element = findings_push_index(f, i);

                validate_policy(f, policy);
                findings_pop(f, element);
        }
        findings_pop(f, inner);
        findings_pop(f, at);
}

static void validate_bounds(struct findings *f, const json_t *spec) {
        const json_t *least = json_object_get(spec, "minReplicas"),
                     *most = json_object_get(spec, "maxReplicas");

        if (least && json_integer_value(least) < 1)
                finding_add(f, FINDING_INVALID, "minReplicas", least,
                                "must be greater than or equal to 1");
        if (json_integer_value(most) < 1)
                finding_add(f, FINDING_INVALID, "maxReplicas", most, "must be greater than 0");
        if (least && json_integer_value(most) < json_integer_value(least))
                finding_add(f, FINDING_INVALID, "maxReplicas", most,
                                "must be greater than or equal to `minReplicas`");
}

static void hpa_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec"),
                     *behavior = json_object_get(spec, "behavior"), *metric;
        size_t at = findings_push(f, "spec"), inner, i;

        validate_bounds(f, spec);
        validate_reference(f, json_object_get(spec, "scaleTargetRef"), "scaleTargetRef");
        validate_count(f, "metrics", json_object_get(spec, "metrics"));
        inner = findings_push(f, "metrics");
        json_array_foreach (json_object_get(spec, "metrics"), i, metric) {
                size_t element = findings_push_index(f, i);

                validate_metric(f, metric);
                findings_pop(f, element);
        }
        findings_pop(f, inner);
        inner = findings_push(f, "behavior");
        validate_rules(f, behavior, "scaleUp");
        validate_rules(f, behavior, "scaleDown");
        findings_pop(f, inner);
        findings_pop(f, at);
}

static void hpa_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const counts[] = {"status.currentReplicas", "status.desiredReplicas"};

        for (size_t i = 0; i < ELEMENTS(counts) && streq(subresource, "status"); i++)
                if (json_int_or(object, counts[i], 0) < 0)
                        finding_add(f, FINDING_INVALID, counts[i], json_at(object, counts[i]),
                                        "must be greater than or equal to 0");
}

const struct kind_strategy strategies_autoscaling[] = {
                {.group = "autoscaling",
                                .kind = "HorizontalPodAutoscaler",
                                .convert = strategy_convert_hpa,
                                .defaults = hpa_defaults,
                                .validate = hpa_validate,
                                .validate_update = hpa_validate_update},
                {0},
};
