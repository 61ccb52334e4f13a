/* Jobs and CronJobs: the server makes a job's selector from its uid, so that two jobs never share
 * pods. */
#include "kapid/strategy/strategy.h"

#include "lib/cron.h"
#include "lib/object.h"

static const char *const owner_labels[] = {"batch.kubernetes.io/controller-uid", "controller-uid"};
static const char *const name_labels[] = {"batch.kubernetes.io/job-name", "job-name"};

static int default_int(json_t *spec, const char *field, int64_t value) {
        return json_object_get(spec, field) ? 0 : json_set_int(spec, field, value);
}

static int default_str(json_t *spec, const char *field, const char *value) {
        return json_object_get(spec, field) ? 0 : json_set_str(spec, field, value);
}

/* Not in the schema, because a CronJob's template of a job does not get them. */
static int job_defaults(json_t *object) {
        json_t *spec = json_object_get(object, "spec"),
               *pod = json_at_mut(object, "spec.template.spec");
        bool indexed_limit = json_object_get(spec, "backoffLimitPerIndex") != NULL;
        int r;

        if (!json_is_object(spec))
                return 0;
        r = json_object_get(spec, "parallelism") ? 0 : default_int(spec, "completions", 1);
        if (r < 0)
                return r;
        r = default_int(spec, "parallelism", 1);
        if (r < 0)
                return r;
        r = default_int(spec, "backoffLimit", indexed_limit ? INT32_MAX : 6);
        if (r < 0)
                return r;
        r = default_str(spec, "completionMode", "NonIndexed");
        if (r < 0)
                return r;
        r = default_str(spec, "podReplacementPolicy",
                        json_object_get(spec, "podFailurePolicy") ? "Failed"
                                                                  : "TerminatingOrFailed");
        if (r < 0)
                return r;
        if (!json_object_get(spec, "suspend") &&
                        json_object_set_new(spec, "suspend", json_false()) < 0)
                return -ENOMEM;
        return json_is_object(pod) ? strategy_default_pod_spec(pod) : 0;
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

/* A Job's labels and selector are those that the server made, unless the user said otherwise. */
static void validate_generated(struct findings *f, const json_t *object) {
        const json_t *selector = json_at(object, "spec.selector"),
                     *uid = json_get(selector, "matchLabels", owner_labels[0], NULL);

        if (!selector)
                finding_add(f, FINDING_REQUIRED, "spec.selector", NULL, NULL);
        else if (json_bool_or(object, "spec.manualSelector", false))
                return;
        else if (!streq_ptr(json_string_value(uid), object_uid(object)) &&
                        !streq_ptr(json_string_value(json_get(
                                                   selector, "matchLabels", owner_labels[1], NULL)),
                                        object_uid(object)))
                finding_add(f, FINDING_INVALID, "spec.selector", selector,
                                "`selector` not auto-generated");
}

static void job_validate(struct findings *f, const json_t *object) {
        validate_generated(f, object);
        strategy_validate_template(f, object, strategy_validate_finishing);
        strategy_validate_job(f, object);
}

/* Indexed jobs grow and shrink when completions and parallelism change together. */
static void validate_completions(struct findings *f, const json_t *old, const json_t *object) {
        const json_t *before = json_at(old, "spec.completions"),
                     *after = json_at(object, "spec.completions");

        if (json_same(before, after))
                return;
        if (!streq(json_str_or(object, "spec.completionMode", ""), "Indexed"))
                strategy_validate_immutable(f, old, object, "spec.completions");
        else if (!json_same(before, json_at(old, "spec.parallelism")) ||
                        !json_same(after, json_at(object, "spec.parallelism")))
                finding_add(f, FINDING_INVALID, "spec.completions", after ? after : json_null(),
                                "can only be modified in tandem with parallelism");
}

/* Where the pods of a suspended job will run may still be changed. */
static void validate_template_kept(struct findings *f, const json_t *old, const json_t *object) {
        static const char *const mutable[] = {"spec.template.metadata.annotations",
                        "spec.template.metadata.labels", "spec.template.spec.nodeSelector",
                        "spec.template.spec.tolerations", "spec.template.spec.schedulingGates",
                        "spec.template.spec.affinity.nodeAffinity"};
        static const char affinity[] = "spec.template.spec.affinity";
        _cleanup_json_ json_t *a = NULL, *b = NULL;

        if (!json_bool_or(old, "spec.suspend", false) || json_at(old, "status.startTime")) {
                strategy_validate_immutable(f, old, object, "spec.template");
                return;
        }
        a = json_tree_copy(old);
        b = json_tree_copy(object);
        if (!a || !b) {
                f->failed = true;
                return;
        }
        for (size_t i = 0; i < ELEMENTS(mutable); i++) {
                json_del_at(a, mutable[i]);
                json_del_at(b, mutable[i]);
        }
        if (json_object_size(json_at(a, affinity)) == 0)
                json_del_at(a, affinity);
        if (json_object_size(json_at(b, affinity)) == 0)
                json_del_at(b, affinity);
        strategy_validate_immutable(f, a, b, "spec.template");
}

static void job_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        static const char *const fixed[] = {"spec.selector", "spec.completionMode",
                        "spec.backoffLimitPerIndex", "spec.managedBy", "spec.podFailurePolicy",
                        "spec.successPolicy"};

        for (size_t i = 0; i < ELEMENTS(fixed); i++)
                strategy_validate_immutable(f, old, object, fixed[i]);
        validate_completions(f, old, object);
        validate_template_kept(f, old, object);
}

/* CronJobs. */

enum { CRONJOB_NAME_MAX = 52 }; /* a job's name has 63, of which the time takes 11 */

static int cronjob_defaults(json_t *object) {
        json_t *pod = json_at_mut(object, "spec.jobTemplate.spec.template.spec");

        return json_is_object(pod) ? strategy_default_pod_spec(pod) : 0;
}

void strategy_validate_schedule(struct findings *f, const json_t *schedule) {
        const char *text = strempty(json_string_value(schedule));
        _cleanup_problem_ struct problem p = {0};
        struct cron c;
        int r;

        if (!*text) {
                finding_add(f, FINDING_REQUIRED, "spec.schedule", NULL, NULL);
                return;
        }
        if (strstr(text, "TZ")) {
                finding_add(f, FINDING_INVALID, "spec.schedule", schedule,
                                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
                return;
        }
        r = cron_parse(text, &c, &p);
        if (r == -EINVAL)
                finding_add(f, FINDING_INVALID, "spec.schedule", schedule, "%s", p.message);
        else if (r < 0)
                f->failed = true;
}

void strategy_validate_zone(struct findings *f, const json_t *zone) {
        _cleanup_(time_zone_freep) struct time_zone *loaded = NULL;
        const char *name = strempty(json_string_value(zone));
        int r;

        if (!zone)
                return;
        if (!*name)
                finding_add(f, FINDING_INVALID, "spec.timeZone", zone,
                                "timeZone must be nil or non-empty string");
        else if (strcaseeq(name, "Local"))
                finding_add(f, FINDING_INVALID, "spec.timeZone", zone,
                                "timeZone must be an explicit time zone as defined in "
                                "https://www.iana.org/time-zones");
        else {
                r = time_zone_load(name, &loaded);
                if (r == -ENOMEM)
                        f->failed = true;
                else if (r < 0)
                        finding_add(f, FINDING_INVALID, "spec.timeZone", zone,
                                        "unknown time zone %s: the tz database of the API server's "
                                        "machine (package tzdata) has none of this name",
                                        name);
        }
}

static void cronjob_validate(struct findings *f, const json_t *object) {
        const json_t *template = json_at(object, "spec.jobTemplate"),
                     *manual = json_at(template, "spec.manualSelector"),
                     *selector = json_at(template, "spec.selector"),
                     *name = json_at(object, "metadata.name");
        size_t at;

        if (json_string_length(name) > CRONJOB_NAME_MAX)
                finding_add(f, FINDING_INVALID, "metadata.name", name,
                                "must be no more than %i characters", CRONJOB_NAME_MAX);
        strategy_validate_schedule(f, json_at(object, "spec.schedule"));
        strategy_validate_zone(f, json_at(object, "spec.timeZone"));
        at = findings_push(f, "spec.jobTemplate");
        if (selector)
                finding_add(f, FINDING_INVALID, "spec.selector", selector,
                                "`selector` will be auto-generated");
        if (json_is_true(manual))
                finding_add(f, FINDING_NOT_SUPPORTED, "spec.manualSelector", manual,
                                "supported values: \"nil\", \"false\"");
        if (json_is_object(json_object_get(template, "spec"))) {
                strategy_validate_template(f, template, strategy_validate_finishing);
                strategy_validate_job(f, template);
        } else
                finding_add(f, FINDING_REQUIRED, "spec.template", NULL, NULL);
        findings_pop(f, at);
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
                {.group = "batch",
                                .kind = "CronJob",
                                .pod_template = "spec.jobTemplate.spec.template",
                                .defaults = cronjob_defaults,
                                .validate = cronjob_validate},
                {0},
};
