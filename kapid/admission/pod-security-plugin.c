/* Pod security admission (KEP-2579): what the labels of a namespace say about pods (refused), pod
 * templates (a warning) and about the labels themselves, whose change needs the verb
 * set-pod-security on the namespace. An update that changes nothing of what the controls look at
 * passes, so that pods from before a label can still be cleaned up. */
#include "kapid/admission/plugins.h"
#include "kapid/admission/pod-security-namespace.h"
#include "kapid/admission/pod-security.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum {
        EXISTING_PODS_MAX = 500,          /* looked at when a label changes */
        EXISTING_TIME_MAX_US = 30 * 1000, /* the event loop is not held for longer */
};

/* Kinds that hold a pod's template, and where. */
static const struct template_row {
        const char *group, *plural, *path;
} templates[] = {
                {"", "replicationcontrollers", "spec.template"},
                {"", "podtemplates", "template"},
                {"apps", "deployments", "spec.template"},
                {"apps", "replicasets", "spec.template"},
                {"apps", "statefulsets", "spec.template"},
                {"apps", "daemonsets", "spec.template"},
                {"batch", "jobs", "spec.template"},
                {"batch", "cronjobs", "spec.jobTemplate.spec.template"},
};

static struct pod_security_modes modes_of_labels(
                const struct write *w, const char *name, const json_t *namespace) {
        return pod_security_modes(name, json_get(namespace, "metadata", "labels", NULL),
                        w->request->api->options.pod_security_default);
}

/* Of the namespace that the write is in. One that the cache does not know counts as unlabelled. */
static struct pod_security_modes modes_of_write(const struct write *w) {
        struct item *it = admission_find(w->request->api, "/registry/namespaces/", w->namespace);
        _cleanup_json_ json_t *namespace = it ? item_object(it) : NULL;

        return modes_of_labels(w, w->namespace, namespace);
}

/* 1: *ret_text says what is wrong. */
static int judge(const json_t *pod, const struct pod_security_policy *policy, const char *before,
                char **ret_text) {
        _cleanup_pod_security_report_ struct pod_security_report report = {0};
        int r = pod_security_check(json_object_get(pod, "metadata"), json_object_get(pod, "spec"),
                        policy, &report);

        if (r < 0 || report.count == 0)
                return r;
        *ret_text = pod_security_text(&report, policy, before);
        return *ret_text ? 1 : -ENOMEM;
}

/* The modes that refuse nothing. */
static int warn_and_audit(
                struct write *w, const json_t *pod, const struct pod_security_modes *modes) {
        _cleanup_free_ char *warning = NULL, *line = NULL;
        int r = judge(pod, &modes->warn, "would violate", &warning);

        if (r > 0)
                r = admission_warn(w, warning);
        if (r < 0)
                return r;
        r = judge(pod, &modes->audit, "would violate", &line);
        if (r > 0)
                log_info("Audit: %s %s/%s by %s %s", w->kind->resource, w->namespace, w->name,
                                w->request->user.name, line);
        return r < 0 ? r : 0;
}

static bool pod_is_unchanged(const json_t *live, const json_t *object) {
        return pod_security_annotations_equal(json_object_get(live, "metadata"),
                               json_object_get(object, "metadata")) &&
               json_equal(json_object_get(live, "spec"), json_object_get(object, "spec"));
}

static int check_pod(struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        struct pod_security_modes modes;
        _cleanup_free_ char *why = NULL;
        int r;

        if ((w->request->sub && streq(w->request->sub->name, "status")) ||
                        (live && pod_is_unchanged(live, object)))
                return 0;
        r = pod_security_check_names(
                        json_object_get(object, "metadata"), "metadata.annotations", p);
        if (r < 0)
                return problem_prefix(p, "Pod \"%s\" is invalid", w->name), r;
        modes = modes_of_write(w);
        r = judge(object, &modes.enforce, "violates", &why);
        if (r != 0)
                return r < 0 ? r : admission_forbidden(w, p, why);
        return warn_and_audit(w, object, &modes);
}

/* Templates only warn: the pods made of them are refused, by name and with the reason. */
static int check_template(struct write *w, const struct template_row *row, const json_t *live,
                const json_t *object) {
        const json_t *template = json_at(object, row->path), *before = json_at(live, row->path);
        _cleanup_problem_ struct problem unknown = {0};
        struct pod_security_modes modes;

        if (!template || (w->request->sub && !streq(w->request->sub->name, "")) ||
                        (before && pod_is_unchanged(before, template)))
                return 0;
        if (pod_security_check_names(json_object_get(template, "metadata"),
                            "spec.template.metadata.annotations", &unknown) < 0 &&
                        admission_warn(w, unknown.message) < 0)
                return -ENOMEM;
        modes = modes_of_write(w);
        return warn_and_audit(w, template, &modes);
}

/* --- the labels --- */

/* `web-1 (and 2 other pods): privileged`, one line a combination of reasons. */
static int warn_of_groups(struct write *w, const json_t *groups) {
        const char *reasons;
        json_t *group;

        json_object_foreach ((json_t *)groups, reasons, group) {
                long long others = (long long)json_int_or(group, "count", 1) - 1;
                _cleanup_free_ char *more =
                                others == 0   ? strdup("")
                                : others == 1 ? strdup(" (and 1 other pod)")
                                              : strformat(" (and %lld other pods)", others);
                _cleanup_free_ char *text = strformat("%s%s: %s", json_str_or(group, "first", ""),
                                strempty(more), reasons);

                if (!text || admission_warn(w, text) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int add_to_group(json_t *groups, const char *reasons, const char *pod) {
        json_t *group = json_object_get(groups, reasons);

        if (!group)
                return json_object_set_new(
                                groups, reasons, json_pack("{ss, si}", "first", pod, "count", 1));
        return json_set_int(group, "count", json_int_or(group, "count", 1) + 1);
}

static int group_pods(const struct write *w, const struct pod_security_policy *policy,
                json_t *groups, bool *ret_all) {
        struct cache *c = caches_get(w->request->api->caches, "/registry/pods/");
        _cleanup_free_ char *from = strformat("%s/", w->name);
        uint64_t start_us = now_mono_us();
        size_t n = 0;

        if (!c || !from)
                return -ENOMEM;
        *ret_all = true;
        for (struct item *it = cache_first(c, from); it && startswith(item_path(it), from);
                        it = cache_next(c, it)) {
                _cleanup_pod_security_report_ struct pod_security_report report = {0};
                _cleanup_json_ json_t *pod = item_object(it);
                _cleanup_free_ char *reasons = NULL;

                if (n++ >= EXISTING_PODS_MAX || now_mono_us() - start_us > EXISTING_TIME_MAX_US) {
                        *ret_all = false;
                        return 0;
                }
                if (!pod || pod_security_check(json_object_get(pod, "metadata"),
                                            json_object_get(pod, "spec"), policy, &report) < 0)
                        return -ENOMEM;
                if (report.count == 0)
                        continue;
                reasons = pod_security_reasons(&report);
                if (!reasons || add_to_group(groups, reasons, object_name(pod)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int warn_of_existing(struct write *w, const struct pod_security_policy *policy) {
        _cleanup_json_ json_t *groups = json_object();
        _cleanup_free_ char *text = NULL, *level = NULL;
        bool all = true;
        int r = groups ? group_pods(w, policy, groups, &all) : -ENOMEM;

        if (r < 0 || (json_object_size(groups) == 0 && all))
                return r;
        level = pod_security_policy_text(policy);
        text = strformat("existing pods in namespace \"%s\" violate the new PodSecurity enforce "
                         "level \"%s\"",
                        w->name, strempty(level));
        if (json_object_size(groups) > 0 && (!text || admission_warn(w, text) < 0))
                return -ENOMEM;
        if (!all && admission_warn(w, "only a part of the existing pods was looked at") < 0)
                return -ENOMEM;
        return warn_of_groups(w, groups);
}

static int check_namespace(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        const json_t *before = json_get(live, "metadata", "labels", NULL),
                     *after = json_get(object, "metadata", "labels", NULL);
        const char *changed = pod_security_label_changed(before, after);
        struct pod_security_modes was, is;
        int r;

        if (!changed)
                return 0;
        r = pod_security_labels_validate(after, p);
        if (r < 0)
                return problem_prefix(p, "Namespace \"%s\" is invalid", w->name), r;
        if (!admission_may(w, "set-pod-security", "", "namespaces", w->name, w->name)) {
                _cleanup_free_ char *why = strformat(
                                "user \"%s\" may not change the label %s: it decides what pods may "
                                "do to the machines, so it needs the verb \"set-pod-security\" on "
                                "the namespace; ask an administrator of the cluster",
                                w->request->user.name, changed);

                return why ? admission_forbidden(w, p, why) : -ENOMEM;
        }
        if (!live)
                return 0;
        was = modes_of_labels(w, w->name, live);
        is = modes_of_labels(w, w->name, object);
        if (is.enforce.level == LEVEL_PRIVILEGED ||
                        (is.enforce.level <= was.enforce.level &&
                                        is.enforce.minor == was.enforce.minor))
                return 0;
        return warn_of_existing(w, &is.enforce);
}

int validate_pod_security(
                struct write *w, const json_t *live, const json_t *object, struct problem *p) {
        if (admission_is_kind(w, "", "pods"))
                return check_pod(w, live, object, p);
        if (admission_is_kind(w, "", "namespaces"))
                return check_namespace(w, live, object, p);
        for (size_t i = 0; i < ELEMENTS(templates); i++)
                if (admission_is_kind(w, templates[i].group, templates[i].plural))
                        return check_template(w, &templates[i], live, object);
        return 0;
}
