/* What keeps pods running: Deployments, ReplicaSets, StatefulSets, DaemonSets, and the core group's
 * ReplicationController. Defaults of the roll-out, selector against template, what an update may
 * change. And ControllerRevisions, which never change. */
#include <inttypes.h>

#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

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

/* A number of pods of a roll-out; returns it, 0 when it is absent and 1 when it is not valid. */
static int64_t validate_count(
                struct findings *f, const json_t *rolling, const char *name, bool at_most_all) {
        const json_t *field = json_object_get(rolling, name);
        int64_t v;

        if (!field)
                return 0;
        if (strategy_count_or_percent(f, name, field, &v) < 0)
                return 1;
        if (at_most_all && json_is_string(field) && v > 100)
                finding_add(f, FINDING_INVALID, name, field, "must not be greater than 100%%");
        return v;
}

static void validate_rolling(struct findings *f, const json_t *rolling) {
        int64_t unavailable = validate_count(f, rolling, "maxUnavailable", /* at_most_all= */ true),
                surge = validate_count(f, rolling, "maxSurge", /* at_most_all= */ false);

        if (unavailable == 0 && surge == 0)
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
}

static void validate_no_deadline(struct findings *f, const json_t *object, const char *kind) {
        if (json_at(object, "spec.template.spec.activeDeadlineSeconds"))
                finding_add(f, FINDING_FORBIDDEN, "spec.template.spec.activeDeadlineSeconds", NULL,
                                "activeDeadlineSeconds in %s is not Supported", kind);
}

static void replicaset_validate(struct findings *f, const json_t *object) {
        strategy_validate_template(f, object, validate_running);
        validate_no_deadline(f, object, "ReplicaSet");
}

static void controller_validate(struct findings *f, const json_t *object) {
        if (json_object_size(json_at(object, "spec.selector")) == 0)
                finding_add(f, FINDING_REQUIRED, "spec.selector", NULL, NULL);
        strategy_validate_template(f, object, validate_running);
        validate_no_deadline(f, object, "ReplicationController");
}

static void deployment_validate(struct findings *f, const json_t *object) {
        const json_t *strategy = json_at(object, "spec.strategy"),
                     *rolling = json_object_get(strategy, "rollingUpdate");
        size_t at;

        strategy_validate_template(f, object, validate_running);
        validate_no_deadline(f, object, "ReplicaSet");
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

/* --- StatefulSet --- */

static int statefulset_defaults(json_t *object) {
        json_t *strategy = json_at_mut(object, "spec.updateStrategy");

        if (streq(json_str_or(strategy, "type", ""), "RollingUpdate") &&
                        !json_at(strategy, "rollingUpdate.partition")) {
                int r = json_set_int(strategy, "rollingUpdate.partition", 0);

                if (r < 0)
                        return r;
        }
        return template_defaults(object);
}

/* The StatefulSet as its pods see it: a volume for each claim template. NULL: out of memory. */
static json_t *with_claims(const json_t *object) {
        _cleanup_json_ json_t *copy = json_tree_copy(object), *volumes = json_array();
        const json_t *item;
        size_t i;
        int r = copy && volumes ? 0 : -ENOMEM;

        json_array_foreach (json_at(object, "spec.template.spec.volumes"), i, item)
                r |= json_array_append(volumes, (json_t *)item);
        json_array_foreach (json_at(object, "spec.volumeClaimTemplates"), i, item)
                r |= json_array_append_new(
                                volumes, json_pack("{s:s, s:{s:s}}", "name", object_name(item),
                                                         "persistentVolumeClaim", "claimName",
                                                         object_name(item)));
        if (r < 0 || json_set_at(copy, "spec.template.spec.volumes", TAKE_PTR(volumes)) < 0)
                return NULL;
        return TAKE_PTR(copy);
}

static void statefulset_validate(struct findings *f, const json_t *object) {
        const json_t *strategy = json_at(object, "spec.updateStrategy"),
                     *rolling = json_object_get(strategy, "rollingUpdate"),
                     *unavailable = json_object_get(rolling, "maxUnavailable"),
                     *service = json_at(object, "spec.serviceName");
        bool has_claims = json_array_size(json_at(object, "spec.volumeClaimTemplates")) > 0 &&
                          json_at(object, "spec.template.spec");
        _cleanup_json_ json_t *mounted = has_claims ? with_claims(object) : NULL;
        const char *error;
        size_t at;

        if (has_claims && !mounted)
                f->failed = true;
        strategy_validate_template(f, mounted ? mounted : object, validate_running);
        validate_no_deadline(f, object, "StatefulSet");
        /* It becomes the subdomain of the pods. */
        if (service && *strempty(json_string_value(service)) &&
                        (error = format_check(FORMAT_DNS1123_LABEL, json_string_value(service))))
                finding_add(f, FINDING_INVALID, "spec.serviceName", service, "%s", error);
        if (rolling && streq(json_str_or(strategy, "type", ""), "OnDelete")) {
                finding_add(f, FINDING_INVALID, "spec.updateStrategy.rollingUpdate", rolling,
                                "only allowed for updateStrategy 'RollingUpdate'");
                return;
        }
        at = findings_push(f, "spec.updateStrategy.rollingUpdate");
        if (unavailable && validate_count(f, rolling, "maxUnavailable",
                                           /* at_most_all= */ true) == 0)
                finding_add(f, FINDING_INVALID, "maxUnavailable", unavailable, "cannot be 0");
        findings_pop(f, at);
}

static void statefulset_validate_update(struct findings *f, const char *subresource,
                const json_t *old, const json_t *object) {
        static const char *const mutable[] = {"replicas", "ordinals", "template", "updateStrategy",
                        "revisionHistoryLimit", "persistentVolumeClaimRetentionPolicy",
                        "minReadySeconds"};
        _cleanup_json_ json_t *was = json_copy((json_t *)json_object_get(old, "spec")),
                              *is = json_copy((json_t *)json_object_get(object, "spec"));

        for (size_t i = 0; i < ELEMENTS(mutable); i++) {
                json_object_del(was, mutable[i]);
                json_object_del(is, mutable[i]);
        }
        if (was && is && !json_equal(was, is))
                finding_add(f, FINDING_FORBIDDEN, "spec", NULL,
                                "updates to statefulset spec for fields other than 'replicas', "
                                "'ordinals', 'template', 'updateStrategy', "
                                "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' "
                                "and 'minReadySeconds' are forbidden");
}

/* --- DaemonSet --- */

static int daemonset_defaults(json_t *object) {
        json_t *strategy = json_at_mut(object, "spec.updateStrategy");
        static const struct {
                const char *path;
                int value;
        } defaults[] = {{"rollingUpdate.maxUnavailable", 1}, {"rollingUpdate.maxSurge", 0}};

        for (size_t i = 0; i < ELEMENTS(defaults); i++) {
                int r;

                if (!streq(json_str_or(strategy, "type", ""), "RollingUpdate") ||
                                json_at(strategy, defaults[i].path))
                        continue;
                r = json_set_int(strategy, defaults[i].path, defaults[i].value);
                if (r < 0)
                        return r;
        }
        return template_defaults(object);
}

/* How often the template was changed: the reference server writes it for clients that were made
 * before ControllerRevisions had numbers, and Ansible's k8s_rollback reads it. The controller
 * copies it to the revision (reconcilers/workloads/history.c). */
static int64_t template_generation(const json_t *object) {
        const char *text = object_annotation(object, TEMPLATE_GENERATION);
        int64_t v;

        return text && parse_i64(text, &v) == 0 && v > 0 ? v : 0;
}

static int set_template_generation(json_t *object, int64_t v) {
        json_t *metadata = json_object_get(object, "metadata"),
               *annotations = json_object_get(metadata, "annotations");
        char text[24];

        if (!json_is_object(annotations)) {
                annotations = json_object();
                if (json_object_set_new(metadata, "annotations", annotations) < 0)
                        return -ENOMEM;
        }
        snprintf(text, sizeof(text), "%" PRId64, v);
        return json_object_set_new(annotations, TEMPLATE_GENERATION, json_string(text)) < 0
                               ? -ENOMEM
                               : 0;
}

static int daemonset_prepare_create(json_t *object, const struct pipeline_context *c) {
        return set_template_generation(object, MAX(template_generation(object), 1));
}

static int daemonset_prepare_update(const char *subresource, const json_t *old, json_t *object,
                const struct pipeline_context *c) {
        bool changed = !json_same(json_at(old, "spec.template"), json_at(object, "spec.template"));
        int64_t v = MAX(template_generation(old), 1);

        if (*subresource)
                return 0;
        return set_template_generation(object, changed && v < INT64_MAX ? v + 1 : v);
}

static void daemonset_validate(struct findings *f, const json_t *object) {
        const json_t *strategy = json_at(object, "spec.updateStrategy"),
                     *rolling = json_object_get(strategy, "rollingUpdate");
        int64_t unavailable, surge;
        size_t at;

        strategy_validate_template(f, object, validate_running);
        validate_no_deadline(f, object, "DaemonSet");
        if (!streq(json_str_or(strategy, "type", ""), "RollingUpdate"))
                return;
        at = findings_push(f, "spec.updateStrategy.rollingUpdate");
        unavailable = validate_count(f, rolling, "maxUnavailable", /* at_most_all= */ true);
        surge = validate_count(f, rolling, "maxSurge", /* at_most_all= */ true);
        if (unavailable != 0 && surge != 0)
                finding_add(f, FINDING_INVALID, "maxSurge", json_object_get(rolling, "maxSurge"),
                                "may not be set when `maxUnavailable` is non-zero");
        else if (unavailable == 0 && surge == 0)
                finding_add(f, FINDING_REQUIRED, "maxUnavailable", NULL,
                                "cannot be 0 when `maxSurge` is 0");
        findings_pop(f, at);
}

/* --- ControllerRevision --- */

static void revision_validate(struct findings *f, const json_t *object) {
        if (!json_object_get(object, "data"))
                finding_add(f, FINDING_REQUIRED, "data", NULL, "data is mandatory");
}

static void revision_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        strategy_validate_immutable(f, old, object, "data");
}

/* --- ReplicaSet and ReplicationController --- */

/* A ReplicationController takes its selector and its labels from the template. */
static int controller_defaults(json_t *object) {
        json_t *labels = json_at_mut(object, "spec.template.metadata.labels");
        static const char *const taken[] = {"spec.selector", "metadata.labels"};

        for (size_t i = 0; i < ELEMENTS(taken) && json_object_size(labels) > 0; i++) {
                int r;

                if (json_object_size(json_at(object, taken[i])) > 0)
                        continue;
                r = json_set_at(object, taken[i], json_tree_copy(labels));
                if (r < 0)
                        return r;
        }
        return template_defaults(object);
}

/* A ReplicaSet without a selector takes its template's labels. */
static int replicaset_defaults(json_t *object) {
        json_t *labels = json_at_mut(object, "spec.template.metadata.labels");
        int r = 0;

        if (!json_at(object, "spec.selector") && json_object_size(labels) > 0)
                r = json_set_at(object, "spec.selector.matchLabels", json_tree_copy(labels));
        return r < 0 ? r : template_defaults(object);
}

const struct kind_strategy strategies_apps[] = {
                {.group = "apps",
                                .kind = "Deployment",
                                .pod_template = "spec.template",
                                .defaults = deployment_defaults,
                                .old_defaults = strategy_default_old,
                                .validate = deployment_validate,
                                .validate_update = validate_selector_kept},
                {.group = "apps",
                                .kind = "ReplicaSet",
                                .pod_template = "spec.template",
                                .defaults = replicaset_defaults,
                                .old_defaults = strategy_default_old,
                                .validate = replicaset_validate,
                                .validate_update = validate_selector_kept},
                {.group = "apps",
                                .kind = "StatefulSet",
                                .name = NAME_LABEL,
                                .pod_template = "spec.template",
                                .defaults = statefulset_defaults,
                                .old_defaults = strategy_default_old,
                                .validate = statefulset_validate,
                                .validate_update = statefulset_validate_update},
                {.group = "apps",
                                .kind = "DaemonSet",
                                .pod_template = "spec.template",
                                .defaults = daemonset_defaults,
                                .old_defaults = strategy_default_old,
                                .prepare_create = daemonset_prepare_create,
                                .prepare_update = daemonset_prepare_update,
                                .validate = daemonset_validate,
                                .validate_update = validate_selector_kept},
                {.group = "apps",
                                .kind = "ControllerRevision",
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = revision_validate,
                                .validate_update = revision_validate_update},
                {.group = "",
                                .kind = "ReplicationController",
                                .pod_template = "spec.template",
                                .defaults = controller_defaults,
                                .validate = controller_validate},
                {0},
};
