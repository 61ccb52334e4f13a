/* Roles and their bindings: rules that make sense, and a role reference that never changes. */
#include "kapid/schema/format.h"
#include "kapid/strategy/strategy.h"
#include "lib/object.h"

#define GROUP "rbac.authorization.k8s.io"

static void validate_rules(struct findings *f, const json_t *object, bool namespaced) {
        const json_t *rule;
        size_t i;

        json_array_foreach (json_object_get(object, "rules"), i, rule) {
                bool urls = json_array_size(json_object_get(rule, "nonResourceURLs")) > 0;
                bool resources = json_array_size(json_object_get(rule, "resources")) > 0;
                bool groups = json_array_size(json_object_get(rule, "apiGroups")) > 0;
                _cleanup_free_ char *path = strformat("rules[%zu]", i);
                size_t at = findings_push(f, strempty(path));

                if (urls && namespaced)
                        finding_add(f, FINDING_INVALID, "nonResourceURLs",
                                        json_object_get(rule, "nonResourceURLs"),
                                        "namespaced rules cannot apply to non-resource URLs");
                bool names = json_array_size(json_object_get(rule, "resourceNames")) > 0;

                if (urls && (resources || groups || names))
                        finding_add(f, FINDING_INVALID, "nonResourceURLs",
                                        json_object_get(rule, "nonResourceURLs"),
                                        "rules cannot apply to both regular resources and "
                                        "non-resource URLs");
                if (!urls && !groups)
                        finding_add(f, FINDING_REQUIRED, "apiGroups", NULL,
                                        "resource rules must supply at least one api group");
                if (!urls && !resources)
                        finding_add(f, FINDING_REQUIRED, "resources", NULL,
                                        "resource rules must supply at least one resource");
                findings_pop(f, at);
        }
}

static void role_validate(struct findings *f, const json_t *object) {
        validate_rules(f, object, true);
}

static void clusterrole_validate(struct findings *f, const json_t *object) {
        const json_t *rule = json_object_get(object, "aggregationRule"),
                     *selectors = json_object_get(rule, "clusterRoleSelectors"), *v;
        size_t i;

        validate_rules(f, object, false);
        if (rule && json_array_size(selectors) == 0)
                finding_add(f, FINDING_REQUIRED, "aggregationRule.clusterRoleSelectors", NULL,
                                "at least one clusterRoleSelector required if aggregationRule is "
                                "non-nil");
        json_array_foreach (selectors, i, v) {
                size_t at = findings_push(f, "aggregationRule.clusterRoleSelectors");

                findings_push_index(f, i);
                strategy_validate_label_selector(f, v);
                findings_pop(f, at);
        }
}

static int binding_defaults(json_t *object) {
        json_t *subject, *ref = json_object_get(object, "roleRef");
        size_t i;

        if (ref && !*json_str_or(ref, "apiGroup", "") &&
                        json_object_set_new(ref, "apiGroup",
                                        json_string(GROUP)) < 0)
                return -ENOMEM;
        json_array_foreach (json_object_get(object, "subjects"), i, subject) {
                const char *kind = json_str_or(subject, "kind", "");

                if ((streq(kind, "User") || streq(kind, "Group")) &&
                                !*json_str_or(subject, "apiGroup", "") &&
                                json_object_set_new(subject, "apiGroup",
                                                json_string(GROUP)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static void validate_subject(struct findings *f, const json_t *subject, bool namespaced) {
        const json_t *group = json_object_get(subject, "apiGroup"),
                     *name = json_object_get(subject, "name");
        bool account = streq(json_str_or(subject, "kind", ""), "ServiceAccount");
        const char *wanted = account ? "" : GROUP,
                   *error = account ? format_check(FORMAT_DNS1123_SUBDOMAIN,
                                              strempty(json_string_value(name)))
                                    : NULL;

        if (!streq(strempty(json_string_value(group)), wanted))
                finding_add(f, FINDING_NOT_SUPPORTED, "apiGroup", group ? group : json_null(),
                                "supported values: \"%s\"", wanted);
        if (error)
                finding_add(f, FINDING_INVALID, "name", name, "%s", error);
        /* In a namespace it is an account of that namespace. */
        if (account && !namespaced && !*json_str_or(subject, "namespace", ""))
                finding_add(f, FINDING_REQUIRED, "namespace", NULL, NULL);
}

static void validate_binding(struct findings *f, const json_t *object, bool namespaced) {
        const json_t *subject, *ref = json_object_get(object, "roleRef"),
                     *kind = json_object_get(ref, "kind"), *group = json_object_get(ref, "apiGroup"),
                     *name = json_object_get(ref, "name");
        const char *text = strempty(json_string_value(name));
        size_t i;

        if (!namespaced && !streq(strempty(json_string_value(kind)), "ClusterRole"))
                finding_add(f, FINDING_NOT_SUPPORTED, "roleRef.kind", kind,
                                "supported values: \"ClusterRole\"");
        if (!streq(strempty(json_string_value(group)), GROUP))
                finding_add(f, FINDING_NOT_SUPPORTED, "roleRef.apiGroup",
                                group ? group : json_null(), "supported values: \"" GROUP "\"");
        if (strpbrk(text, "/%") || streq(text, ".") || streq(text, ".."))
                finding_add(f, FINDING_INVALID, "roleRef.name", name,
                                "may not be '.' or '..', nor contain '/' or '%%'");
        json_array_foreach (json_object_get(object, "subjects"), i, subject) {
                size_t at = findings_push(f, "subjects");

                findings_push_index(f, i);
                validate_subject(f, subject, namespaced);
                findings_pop(f, at);
        }
}

static void rolebinding_validate(struct findings *f, const json_t *object) {
        validate_binding(f, object, true);
}

static void clusterrolebinding_validate(struct findings *f, const json_t *object) {
        validate_binding(f, object, false);
}

static void binding_validate_update(struct findings *f, const char *subresource, const json_t *old,
                const json_t *object) {
        const json_t *a = json_object_get(old, "roleRef"), *b = json_object_get(object, "roleRef");

        if (!json_equal((json_t *)a, (json_t *)b))
                finding_add(f, FINDING_INVALID, "roleRef", b, "cannot change roleRef");
}

const struct kind_strategy strategies_rbac[] = {
                {.group = GROUP,
                                .kind = "Role",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = role_validate},
                {.group = GROUP,
                                .kind = "ClusterRole",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION,
                                .validate = clusterrole_validate},
                {.group = GROUP,
                                .kind = "RoleBinding",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION,
                                .defaults = binding_defaults,
                                .validate = rolebinding_validate,
                                .validate_update = binding_validate_update},
                {.group = GROUP,
                                .kind = "ClusterRoleBinding",
                                .name = NAME_PATH_SEGMENT,
                                .flags = STRATEGY_NO_GENERATION,
                                .defaults = binding_defaults,
                                .validate = clusterrolebinding_validate,
                                .validate_update = binding_validate_update},
                {0},
};
