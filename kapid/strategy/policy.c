/* PodDisruptionBudgets. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

/* A new budget allows nothing until the controller has counted. */
static int budget_prepare_create(json_t *object, const struct pipeline_context *c) {
        static const char *const counts[] = {"status.disruptionsAllowed", "status.currentHealthy",
                        "status.desiredHealthy", "status.expectedPods"};

        for (size_t i = 0; i < ELEMENTS(counts); i++) {
                int r = json_set_int(object, counts[i], 0);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void validate_amount(struct findings *f, const json_t *spec, const char *field) {
        const json_t *v = json_object_get(spec, field);
        int64_t n;

        if (!v || strategy_count_or_percent(f, field, v, &n) < 0)
                return;
        if (json_is_string(v) && n > 100)
                finding_add(f, FINDING_INVALID, field, v, "must not be greater than 100%%");
}

static void budget_validate(struct findings *f, const json_t *object) {
        const json_t *spec = json_object_get(object, "spec");
        size_t at = findings_push(f, "spec"), inner;

        if (json_object_get(spec, "minAvailable") && json_object_get(spec, "maxUnavailable"))
                finding_add(f, FINDING_INVALID, NULL, spec,
                                "minAvailable and maxUnavailable cannot be both set");
        validate_amount(f, spec, "minAvailable");
        validate_amount(f, spec, "maxUnavailable");
        inner = findings_push(f, "selector");
        strategy_validate_label_selector(f, json_object_get(spec, "selector"));
        findings_pop(f, inner);
        findings_pop(f, at);
}

static void budget_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const counts[] = {
                        "disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"};
        const json_t *status = json_object_get(object, "status");
        size_t at = findings_push(f, "status");

        for (size_t i = 0; i < ELEMENTS(counts) && streq(subresource, "status"); i++)
                if (json_int_or(status, counts[i], 0) < 0)
                        finding_add(f, FINDING_INVALID, counts[i],
                                        json_object_get(status, counts[i]),
                                        "must be greater than or equal to 0");
        findings_pop(f, at);
}

const struct kind_strategy strategies_policy[] = {
                {.group = "policy",
                                .kind = "PodDisruptionBudget",
                                .flags = STRATEGY_NEEDS_VERSION,
                                .convert = strategy_convert_budget,
                                .prepare_create = budget_prepare_create,
                                .validate = budget_validate,
                                .validate_update = budget_validate_update},
                {0},
};
