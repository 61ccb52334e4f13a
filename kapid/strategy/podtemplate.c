/* PodTemplates: the pod of one is checked as that of a workload. */
#include "kapid/strategy/strategy.h"

static int template_defaults(json_t *object) {
        json_t *spec = json_at_mut(object, "template.spec");

        return json_is_object(spec) ? strategy_default_pod_spec(spec) : 0;
}

static void template_validate(struct findings *f, const json_t *object) {
        size_t at = findings_push(f, "template");

        strategy_validate_pod_template(f, json_object_get(object, "template"), NULL);
        findings_pop(f, at);
}

const struct kind_strategy strategies_podtemplate[] = {
                {.group = "",
                                .kind = "PodTemplate",
                                .flags = STRATEGY_RETURNS_DELETED,
                                .pod_template = "template",
                                .defaults = template_defaults,
                                .validate = template_validate},
                {0},
};
