/* PodSecurity (KEP-2579): what the labels of a namespace say about pods (refused), pod
 * templates (a warning) and about the labels themselves, whose change needs the verb
 * set-pod-security on the namespace. So does a stream into a pod that is above the level (it is
 * from before the label, or an administrator's): the stream gives what the pod has. An update that
 * changes nothing of what the controls look at passes, so that pods from before a label can still
 * be cleaned up. */
#include "kapid/admission/plugins.h"
#include "kapid/admission/pod-security-namespace.h"
#include "kapid/admission/pod-security.h"
#include "kapid/api.h"
#include "kapid/auth/user.h"
#include "kapid/strategy/strategy.h"
#include "lib/adoptable-units.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum {
        EXISTING_PODS_MAX = 500,          /* looked at when a label changes */
        EXISTING_TIME_MAX_US = 30 * 1000, /* the event loop is not held for longer */
};

static struct pod_security_modes modes_of_labels(
                const struct admission *a, const char *name, const json_t *namespace) {
        return pod_security_modes(name, json_get(namespace, "metadata", "labels", NULL),
                        a->api->options.pod_security_default);
}

/* Of the namespace that the write is in. One that the cache does not know counts as unlabelled. */
static struct pod_security_modes modes_of_write(const struct admission *a) {
        struct item *it = admission_find(a, "", "namespaces", "", a->namespace);
        _cleanup_json_ json_t *namespace = it ? item_object(it) : NULL;

        return modes_of_labels(a, a->namespace, namespace);
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

/* The same; a policy that the pod is known to keep finds nothing. */
static int judge_unless(const struct pod_security_policy *kept, const json_t *pod,
                const struct pod_security_policy *policy, char **ret_text) {
        if (kept && kept->level == policy->level && kept->minor == policy->minor)
                return 0;
        return judge(pod, policy, "would violate", ret_text);
}

/* The modes that refuse nothing. kept: a policy that the pod keeps; NULL: none is known. */
static int warn_and_audit(struct admission *a, const json_t *pod,
                const struct pod_security_modes *modes, const struct pod_security_policy *kept) {
        _cleanup_free_ char *warning = NULL, *line = NULL;
        int r = judge_unless(kept, pod, &modes->warn, &warning);

        if (r > 0)
                r = admission_warn(a, warning);
        if (r < 0)
                return r;
        r = judge_unless(warning ? kept : &modes->warn, pod, &modes->audit, &line);
        if (r > 0)
                log_info("Audit: %s %s/%s by %s %s", a->kind->resource, a->namespace, a->name,
                                a->user->name, line);
        return r < 0 ? r : 0;
}

static bool pod_is_unchanged(const json_t *live, const json_t *object) {
        return pod_security_annotations_equal(json_object_get(live, "metadata"),
                               json_object_get(object, "metadata")) &&
               json_equal(json_object_get(live, "spec"), json_object_get(object, "spec"));
}

/* What a pod adopts is decided once: its node has acted upon it. */
static int check_same_adoption(const struct admission *a, struct problem *why) {
        const json_t *before = json_object_get(a->live, "metadata"),
                     *now = json_object_get(a->object, "metadata"),
                     *spec = json_object_get(a->object, "spec"), *c;
        size_t i;

        json_array_foreach (json_object_get(spec, "containers"), i, c) {
                const char *name = json_str_or(c, "name", "");

                if (!streq_ptr(adoption_portable(before), adoption_portable(now)) ||
                                !streq(adoption_profile(before), adoption_profile(now)) ||
                                !streq_ptr(adoption_unit(before, spec, name),
                                                adoption_unit(now, spec, name)) ||
                                adoption_mode(before, name) != adoption_mode(now, name))
                        return problem_set(why, EINVAL, 0, NULL,
                                        "the unit that a pod adopts and its mode cannot be "
                                        "changed: delete the pod and create another one");
        }
        return 0;
}

/* Units of the machine that no pod may have. */
static int judge_adoption(const struct admission *a, struct problem *why) {
        int r = adoption_check(json_object_get(a->object, "metadata"),
                        json_object_get(a->object, "spec"), why);

        if (r < 0 || !a->live)
                return r;
        return check_same_adoption(a, why);
}

/* Units of the machine that no pod may have. */
static int check_adoption(struct admission *a, struct problem *p) {
        _cleanup_problem_ struct problem why = {0};
        const char *text;

        if (judge_adoption(a, &why) >= 0)
                return 0;
        text = strempty(why.message);
        problem_set(p, EINVAL, 422, "Invalid", "Pod \"%s\" is invalid: metadata.annotations: %s",
                        a->name, text);
        problem_cause(p, "FieldValueInvalid", "metadata.annotations", text);
        return -EINVAL;
}

static int check_pod(struct admission *a, struct problem *p) {
        struct pod_security_modes modes;
        _cleanup_free_ char *why = NULL;
        int r;

        if (streq(a->subresource, "status") || (a->live && pod_is_unchanged(a->live, a->object)))
                return 0;
        r = pod_security_check_names(
                        json_object_get(a->object, "metadata"), "metadata.annotations", p);
        if (r < 0)
                return problem_prefix(p, "Pod \"%s\" is invalid", a->name), r;
        r = check_adoption(a, p);
        if (r < 0)
                return r;
        modes = modes_of_write(a);
        r = judge(a->object, &modes.enforce, "violates", &why);
        if (r < 0)
                return r;
        if (r > 0)
                return admission_forbidden(a, p, "%s", why);
        return warn_and_audit(a, a->object, &modes, &modes.enforce);
}

static bool may_set_labels(const struct admission *a, const char *namespace) {
        return admission_may(a, &(struct admission_right){.verb = "set-pod-security",
                                                .resource = "namespaces",
                                                .namespace = namespace,
                                                .name = namespace});
}

/* exec, attach, port-forward, and requests to its ports. */
static int check_stream(struct admission *a, struct problem *p) {
        const struct pod_security_modes modes = modes_of_write(a);
        _cleanup_free_ char *why = NULL;
        int r = judge(a->live, &modes.enforce, "the pod violates", &why);

        if (r <= 0 || may_set_labels(a, a->namespace))
                return MIN(r, 0);
        return admission_forbidden(a, p,
                        "%s: a stream into it needs the verb \"set-pod-security\" on the "
                        "namespace; ask an administrator of the cluster",
                        why);
}

/* Templates only warn: the pods made of them are refused, by name and with the reason. */
static int check_template(struct admission *a, struct problem *p) {
        const char *path = a->kind->strategy->pod_template;
        const json_t *template = path ? json_at(a->object, path) : NULL,
                     *before = path ? json_at(a->live, path) : NULL;
        _cleanup_problem_ struct problem unknown = {0};
        _cleanup_free_ char *field = NULL;
        struct pod_security_modes modes;

        if (!template || (before && pod_is_unchanged(before, template)))
                return 0;
        field = strformat("%s.metadata.annotations", path);
        if (!field)
                return -ENOMEM;
        if (pod_security_check_names(json_object_get(template, "metadata"), field, &unknown) < 0 &&
                        admission_warn(a, unknown.message) < 0)
                return -ENOMEM;
        modes = modes_of_write(a);
        return warn_and_audit(a, template, &modes, NULL);
}

/* --- the labels --- */

/* `web-1 (and 2 other pods): privileged`, one line a combination of reasons. */
static int warn_of_groups(struct admission *a, const json_t *groups) {
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

                if (!text || admission_warn(a, text) < 0)
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

static int group_pods(const struct admission *a, const struct pod_security_policy *policy,
                json_t *groups, bool *ret_all) {
        struct cache *c = api_cache(a->api, "", "pods");
        _cleanup_free_ char *from = strformat("%s/", a->name);
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

static int warn_of_existing(struct admission *a, const struct pod_security_policy *policy) {
        _cleanup_json_ json_t *groups = json_object();
        _cleanup_free_ char *text = NULL, *level = NULL;
        bool all = true;
        int r = groups ? group_pods(a, policy, groups, &all) : -ENOMEM;

        if (r < 0 || (json_object_size(groups) == 0 && all))
                return r;
        level = pod_security_policy_text(policy);
        text = strformat("existing pods in namespace \"%s\" violate the new PodSecurity enforce "
                         "level \"%s\"",
                        a->name, strempty(level));
        if (json_object_size(groups) > 0 && (!text || admission_warn(a, text) < 0))
                return -ENOMEM;
        if (!all && admission_warn(a, "only a part of the existing pods was looked at") < 0)
                return -ENOMEM;
        return warn_of_groups(a, groups);
}

static int check_namespace(struct admission *a, struct problem *p) {
        const json_t *before = json_get(a->live, "metadata", "labels", NULL),
                     *after = json_get(a->object, "metadata", "labels", NULL);
        const char *changed = pod_security_label_changed(before, after);
        struct pod_security_modes was, is;
        int r;

        if (!changed)
                return 0;
        r = pod_security_labels_validate(after, p);
        if (r < 0)
                return problem_prefix(p, "Namespace \"%s\" is invalid", a->name), r;
        if (!may_set_labels(a, a->name))
                return admission_forbidden(a, p,
                                "user \"%s\" may not change the label %s: it decides what pods may "
                                "do to the machines, so it needs the verb \"set-pod-security\" on "
                                "the namespace; ask an administrator of the cluster",
                                a->user->name, changed);
        if (!a->live)
                return 0;
        was = modes_of_labels(a, a->name, a->live);
        is = modes_of_labels(a, a->name, a->object);
        if (is.enforce.level == LEVEL_PRIVILEGED ||
                        (is.enforce.level <= was.enforce.level &&
                                        is.enforce.minor == was.enforce.minor))
                return 0;
        return warn_of_existing(a, &is.enforce);
}

static const struct admission_rule rules[] = {
                {.group = "",
                                .plural = "pods",
                                .subresource = "*",
                                .operations = ADMIT_WRITE,
                                .validate = check_pod},
                {.group = "",
                                .plural = "pods",
                                .subresource = "exec",
                                .operations = ADMIT_CONNECT,
                                .may_connect = check_stream},
                {.group = "",
                                .plural = "pods",
                                .subresource = "attach",
                                .operations = ADMIT_CONNECT,
                                .may_connect = check_stream},
                {.group = "",
                                .plural = "pods",
                                .subresource = "portforward",
                                .operations = ADMIT_CONNECT,
                                .may_connect = check_stream},
                {.group = "",
                                .plural = "pods",
                                .subresource = "proxy",
                                .operations = ADMIT_CONNECT,
                                .may_connect = check_stream},
                {.group = "",
                                .plural = "services",
                                .subresource = "proxy",
                                .operations = ADMIT_CONNECT,
                                .may_connect = check_stream},
                {.group = "",
                                .plural = "namespaces",
                                .subresource = "*",
                                .operations = ADMIT_WRITE,
                                .validate = check_namespace},
                {.operations = ADMIT_WRITE, .validate = check_template},
                {0},
};

const struct admission_plugin admission_pod_security = {.safeguard = true, .rules = rules};
