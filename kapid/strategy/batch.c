/* Jobs: the server makes the selector from the job's uid, so that two jobs never share pods. */
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

static const char *const owner_labels[] = {"batch.kubernetes.io/controller-uid", "controller-uid"};
static const char *const name_labels[] = {"batch.kubernetes.io/job-name", "job-name"};

static int job_defaults(json_t *object) {
        json_t *spec = json_object_get(object, "spec"),
               *pod = json_at_mut(object, "spec.template.spec");
        bool indexed_limit = json_object_get(spec, "backoffLimitPerIndex") != NULL;
        int r = 0;

        if (!json_is_object(spec))
                return 0;
        if (!json_object_get(spec, "completions") && !json_object_get(spec, "parallelism"))
                r = json_set_int(spec, "completions", 1);
        if (r < 0)
                return r;
        if (!json_object_get(spec, "parallelism"))
                r = json_set_int(spec, "parallelism", 1);
        if (r < 0)
                return r;
        if (!json_object_get(spec, "backoffLimit"))
                r = json_set_int(spec, "backoffLimit", indexed_limit ? INT32_MAX : 6);
        if (r < 0)
                return r;
        if (!json_object_get(spec, "podReplacementPolicy"))
                r = json_set_str(spec, "podReplacementPolicy",
                                json_object_get(spec, "podFailurePolicy") ? "Failed"
                                                                          : "TerminatingOrFailed");
        return r < 0 || !json_is_object(pod) ? r : strategy_default_pod_spec(pod);
}

static int set_label(json_t *object, const char *where, const char *key, const char *value) {
        json_t *labels = json_at_mut(object, where);

        if (!labels) {
                int r = json_set_at(object, where, json_object());

                if (r < 0)
                        return r;
                labels = json_at_mut(object, where);
        }
        return json_object_set_new(labels, key, json_string(value)) < 0 ? -ENOMEM : 0;
}

static int job_prepare_create(json_t *object, const struct pipeline_context *c) {
        const char *uid = object_uid(object), *name = object_name(object);
        int r = 0;

        if (json_bool_or(object, "spec.manualSelector", false) ||
                        !json_is_object(json_at(object, "spec.template")))
                return 0;
        for (size_t i = 0; i < ELEMENTS(owner_labels) && r == 0; i++)
                r = set_label(object, "spec.template.metadata.labels", owner_labels[i], uid);
        for (size_t i = 0; i < ELEMENTS(name_labels) && r == 0; i++)
                r = set_label(object, "spec.template.metadata.labels", name_labels[i], name);
        return r < 0 || json_at(object, "spec.selector")
                               ? r
                               : set_label(object, "spec.selector.matchLabels", owner_labels[0],
                                                 uid);
}

/* A manifest written again without the generated parts keeps them. */
static int job_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        const json_t *before = json_at(old, "spec.template.metadata.labels");
        json_t *selector = (json_t *)json_at(old, "spec.selector");
        int r = 0;

        if (*subresource || !json_is_object(json_at(object, "spec.template")))
                return 0;
        if (!json_at(object, "spec.selector") && selector)
                r = json_set_at(object, "spec.selector", json_incref(selector));
        for (size_t i = 0; i < ELEMENTS(owner_labels) && r == 0; i++)
                for (size_t j = 0; j < 2 && r == 0; j++) {
                        const char *key = j == 0 ? owner_labels[i] : name_labels[i];
                        const char *value = json_string_value(json_object_get(before, key));

                        if (value && !json_get(object, "spec", "template", "metadata", "labels",
                                                     key, NULL))
                                r = set_label(object, "spec.template.metadata.labels", key, value);
                }
        return r;
}

/* Rules for pods that run to completion. */
static void validate_finishing(struct findings *f, const json_t *spec) {
        const json_t *policy = json_object_get(spec, "restartPolicy");

        if (!policy || streq(json_string_value(policy), "Always"))
                finding_add(f, FINDING_REQUIRED, "restartPolicy", NULL,
                                "valid values: \"OnFailure\", \"Never\"");
}

static void job_validate(struct findings *f, const json_t *object) {
        strategy_validate_template(f, object, validate_finishing);
        if (streq(json_str_or(object, "spec.completionMode", ""), "Indexed") &&
                        !json_at(object, "spec.completions"))
                finding_add(f, FINDING_REQUIRED, "spec.completions", NULL,
                                "when completion mode is Indexed");
}

static void job_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const fixed[] = {"spec.selector", "spec.completions",
                        "spec.completionMode", "spec.backoffLimitPerIndex",
                        "spec.podFailurePolicy"};

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                strategy_validate_immutable(f, old, object, fixed[i]);
        /* A suspended job that has not started may still change where its pods run. */
        if (!json_bool_or(old, "spec.suspend", false) || json_at(old, "status.startTime"))
                strategy_validate_immutable(f, old, object, "spec.template");
}

const struct kind_strategy strategies_batch[] = {
                {.group = "batch",
                                .kind = "Job",
                                .pod_template = "spec.template",
                                .defaults = job_defaults,
                                .prepare_create = job_prepare_create,
                                .prepare_update = job_prepare_update,
                                .validate = job_validate,
                                .validate_update = job_validate_update},
                {0},
};
