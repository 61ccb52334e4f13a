/* Deployments and ReplicaSets: defaults of the roll-out, selector against template. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

static int template_defaults(json_t *object) {
        json_t *spec = json_at_mut(object, "spec.template.spec");

        return json_is_object(spec) ? strategy_default_pod_spec(spec) : 0;
}

static int deployment_defaults(json_t *object) {
        json_t *strategy = json_at_mut(object, "spec.strategy");
        int r = 0;

        if (streq(json_str_or(strategy, "type", ""), "RollingUpdate")) {
                if (!json_at(strategy, "rollingUpdate.maxUnavailable"))
                        r = json_set_str(strategy, "rollingUpdate.maxUnavailable", "25%");
                if (r < 0)
                        return r;
                if (!json_at(strategy, "rollingUpdate.maxSurge"))
                        r = json_set_str(strategy, "rollingUpdate.maxSurge", "25%");
        }
        return r < 0 ? r : template_defaults(object);
}

static void validate_rolling(struct findings *f, const json_t *rolling) {
        static const char *const fields[] = {"maxUnavailable", "maxSurge"};
        int64_t v[2] = {0, 0};

        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                const json_t *field = json_object_get(rolling, fields[i]);

                if (!field)
                        continue;
                if (strategy_count_or_percent(f, fields[i], field, &v[i]) < 0)
                        v[i] = 1;
                else if (i == 0 && json_is_string(field) && v[i] > 100)
                        finding_add(f, FINDING_INVALID, fields[i], field,
                                        "must not be greater than 100%%");
        }
        if (v[0] == 0 && v[1] == 0)
                finding_add(f, FINDING_INVALID, "maxUnavailable",
                                json_object_get(rolling, "maxUnavailable")
                                                ? json_object_get(rolling, "maxUnavailable")
                                                : json_null(),
                                "may not be 0 when `maxSurge` is 0");
}

/* Rules for pods that a controller keeps running. */
static void validate_running(struct findings *f, const json_t *spec) {
        const json_t *policy = json_object_get(spec, "restartPolicy");

        if (policy && !streq(json_string_value(policy), "Always"))
                finding_add(f, FINDING_NOT_SUPPORTED, "restartPolicy", policy,
                                "supported values: \"Always\"");
        if (json_object_get(spec, "activeDeadlineSeconds"))
                finding_add(f, FINDING_FORBIDDEN, "activeDeadlineSeconds", NULL,
                                "activeDeadlineSeconds in ReplicaSet is not Supported");
}

static void replicaset_validate(struct findings *f, const json_t *object) {
        strategy_validate_template(f, object, validate_running);
}

static void deployment_validate(struct findings *f, const json_t *object) {
        const json_t *strategy = json_at(object, "spec.strategy"),
                     *rolling = json_object_get(strategy, "rollingUpdate");
        size_t at;

        strategy_validate_template(f, object, validate_running);
        if (rolling && streq(json_str_or(strategy, "type", ""), "Recreate"))
                finding_add(f, FINDING_FORBIDDEN, "spec.strategy.rollingUpdate", NULL,
                                "may not be specified when strategy `type` is 'Recreate'");
        else if (rolling) {
                at = findings_push(f, "spec.strategy.rollingUpdate");
                validate_rolling(f, rolling);
                findings_pop(f, at);
        }
        if (json_int_or(object, "spec.progressDeadlineSeconds", INT32_MAX) <=
                        json_int_or(object, "spec.minReadySeconds", 0))
                finding_add(f, FINDING_INVALID, "spec.progressDeadlineSeconds",
                                json_at(object, "spec.progressDeadlineSeconds"),
                                "must be greater than minReadySeconds");
}

static void validate_selector_kept(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "spec.selector");
}

/* A ReplicaSet without a selector takes its template's labels. */
static int replicaset_defaults(json_t *object) {
        json_t *labels = json_at_mut(object, "spec.template.metadata.labels");
        int r = 0;

        if (!json_at(object, "spec.selector") && json_object_size(labels) > 0)
                r = json_set_at(object, "spec.selector.matchLabels", json_deep_copy(labels));
        return r < 0 ? r : template_defaults(object);
}

const struct kind_strategy strategies_apps[] = {
                {.group = "apps",
                                .kind = "Deployment",
                                .pod_template = "spec.template",
                                .defaults = deployment_defaults,
                                .validate = deployment_validate,
                                .validate_update = validate_selector_kept},
                {.group = "apps",
                                .kind = "ReplicaSet",
                                .pod_template = "spec.template",
                                .defaults = replicaset_defaults,
                                .validate = replicaset_validate,
                                .validate_update = validate_selector_kept},
                {0},
};
