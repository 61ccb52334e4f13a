/* AdmissionPolicies: who writes an admission policy or a binding must be allowed to read the
 * parameters that it names, because refusals and mutations may show them; and what checking the
 * expressions of a validating one against the schemas of the kinds finds is put into its status. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/auth/user.h"
#include "kapid/cache/item.h"
#include "kapid/policies/types.h"
#include "lib/object.h"

static int check_types(struct admission *a, struct problem *p) {
        _cleanup_(policy_language_freep) struct policy_language *l = NULL;
        _cleanup_json_ json_t *warnings = NULL, *checking = json_object(), *status = NULL;
        int64_t generation = object_generation(a->draft);
        int r;

        if (json_int_or(a->draft, "status.observedGeneration", 0) == generation)
                return 0;
        r = checking ? policy_language_new(&l) : -ENOMEM;
        if (r < 0)
                return r;
        r = policy_check_types(l, a->api->kinds, json_object_get(a->draft, "spec"), &warnings);
        if (r < 0)
                return r;
        if (warnings && json_object_set(checking, "expressionWarnings", warnings) < 0)
                return -ENOMEM;
        /* On an update the status is still that of the live object, which does not change. */
        status = json_tree_copy(json_object_get(a->draft, "status"));
        if (status && json_object_set(a->draft, "status", status) < 0)
                return -ENOMEM;
        r = json_set_int(a->draft, "status.observedGeneration", generation);
        return r < 0 ? r : json_set_at(a->draft, "status.typeChecking", TAKE_PTR(checking));
}

/* The resource of a paramKind; one that is not served (yet) is anything. */
static const char *param_resource(
                struct admission *a, const json_t *kind, const char **ret_group, char **ret_held) {
        const char *api_version = json_str_or(kind, "apiVersion", ""),
                   *slash = strchr(api_version, '/');
        const struct kind *k = policy_param_kind(
                        a->api->kinds, api_version, json_str_or(kind, "kind", ""));

        *ret_held = strndup(api_version, slash ? (size_t)(slash - api_version) : 0);
        *ret_group = k ? k->group : strempty(*ret_held);
        return k ? k->plural : "*";
}

static bool is_same(const struct admission *a, const char *path) {
        return a->live && json_same(json_at(a->live, path), json_at(a->object, path));
}

static int check_policy(struct admission *a, struct problem *p) {
        const json_t *kind = json_at(a->object, "spec.paramKind");
        _cleanup_free_ char *held = NULL, *why = NULL;
        struct admission_right right = {.verb = "get", .name = "*", .namespace = "*"};

        if (!kind || is_same(a, "spec.paramKind"))
                return 0;
        right.resource = param_resource(a, kind, &right.group, &held);
        if (admission_may(a, &right))
                return 0;
        why = strformat("user \"%s\" must have \"get\" permission on all objects of the referenced "
                        "paramKind (kind=%s, apiVersion=%s)",
                        a->user->name, json_str_or(kind, "kind", ""),
                        json_str_or(kind, "apiVersion", ""));
        return why ? admission_forbidden(a, p, "spec.paramKind: Forbidden: %s", why) : -ENOMEM;
}

static int check_binding(struct admission *a, struct problem *p) {
        const json_t *ref = json_at(a->object, "spec.paramRef");
        const char *policy = json_str_or(a->object, "spec.policyName", ""),
                   *name = json_str_or(ref, "name", "*"),
                   *namespace = json_str_or(ref, "namespace", "*");
        bool mutating = streq(a->kind->plural, "mutatingadmissionpolicybindings");
        struct item *it = admission_find(a, "admissionregistration.k8s.io",
                        mutating ? "mutatingadmissionpolicies" : "validatingadmissionpolicies", "",
                        policy);
        struct admission_right right = {.verb = "get", .name = name, .namespace = namespace};
        _cleanup_json_ json_t *object = NULL;
        _cleanup_free_ char *held = NULL;
        const json_t *kind;

        if (!ref || (is_same(a, "spec.paramRef") && is_same(a, "spec.policyName")))
                return 0;
        object = it ? item_object(it) : NULL;
        kind = json_at(object, "spec.paramKind");
        if (it && !object)
                return -ENOMEM;
        if (object && !kind)
                return 0; /* the policy takes none */
        right.group = "*";
        right.resource = "*"; /* of a policy that is not there yet */
        if (kind)
                right.resource = param_resource(a, kind, &right.group, &held);
        if (admission_may(a, &right))
                return 0;
        return admission_forbidden(a, p,
                        "spec.paramRef: Forbidden: user \"%s\" does not have \"get\" permission on "
                        "the parameters that it names (resource %s, namespace %s, name %s)",
                        a->user->name, right.resource, namespace, name);
}

static const struct admission_rule rules[] = {
                {.group = "admissionregistration.k8s.io",
                                .plural = "validatingadmissionpolicies",
                                .operations = ADMIT_WRITE,
                                .mutate = check_types,
                                .validate = check_policy},
                {.group = "admissionregistration.k8s.io",
                                .plural = "validatingadmissionpolicybindings",
                                .operations = ADMIT_WRITE,
                                .validate = check_binding},
                {.group = "admissionregistration.k8s.io",
                                .plural = "mutatingadmissionpolicies",
                                .operations = ADMIT_WRITE,
                                .validate = check_policy},
                {.group = "admissionregistration.k8s.io",
                                .plural = "mutatingadmissionpolicybindings",
                                .operations = ADMIT_WRITE,
                                .validate = check_binding},
                {0},
};

const struct admission_plugin admission_admission_policies = {.safeguard = true, .rules = rules};
