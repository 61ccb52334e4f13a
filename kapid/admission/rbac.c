/* RBACEscalationPrevention: a user grants no right that the user lacks. A user who writes a role
 * needs every right in it, or the verb `escalate` on the role; a user who writes a binding needs
 * every right of the role that it names, or the verb `bind` on that role. */
#include "kapid/admission/plugins.h"
#include "kapid/api.h"
#include "kapid/auth/authz.h"

#define RBAC_GROUP "rbac.authorization.k8s.io"

static bool has_verb(const struct admission *a, const char *verb, const char *resource,
                const char *name) {
        return admission_may(a, &(struct admission_right){.verb = verb,
                                                .group = RBAC_GROUP,
                                                .resource = resource,
                                                .namespace = a->namespace,
                                                .name = name});
}

/* 403 that names the first rule which is too much, unless the user has all of `rules`. */
static int check_covered(struct admission *a, const json_t *rules, struct problem *p) {
        const json_t *missing = NULL;
        _cleanup_free_ char *text = NULL;

        if (rbac_refresh(a->api->rbac, a->api) < 0)
                return -ENOMEM;
        if (rbac_covers(a->api->rbac, a->user, a->namespace, rules, &missing))
                return 0;
        text = missing ? json_text(missing) : NULL;
        return admission_forbidden(a, p,
                        "user \"%s\" is attempting to grant RBAC permissions not currently held: "
                        "%s",
                        a->user->name, strempty(text));
}

static bool is_unchanged(const struct admission *a, const char *member) {
        return a->live &&
               json_equal(json_object_get(a->live, member), json_object_get(a->object, member));
}

/* Rules that come from an aggregation may become anything, so naming one needs everything. */
static int check_aggregation(struct admission *a, struct problem *p) {
        _cleanup_json_ json_t *everything = json_pack("[{s[s], s[s], s[s]}, {s[s], s[s]}]",
                        "apiGroups", "*", "resources", "*", "verbs", "*", "nonResourceURLs", "*",
                        "verbs", "*");

        return everything ? check_covered(a, everything, p) : -ENOMEM;
}

static int validate_role(struct admission *a, struct problem *p) {
        const json_t *rules = json_object_get(a->object, "rules"),
                     *aggregation = json_object_get(a->object, "aggregationRule");
        int r;

        if (is_unchanged(a, "rules"))
                rules = NULL;
        if (is_unchanged(a, "aggregationRule"))
                aggregation = NULL;
        if ((!rules && !aggregation) || user_is_master(a->user) ||
                        has_verb(a, "escalate", a->kind->plural, a->name))
                return 0;
        if (rules) {
                r = check_covered(a, rules, p);
                if (r < 0)
                        return r;
        }
        return aggregation ? check_aggregation(a, p) : 0;
}

static int validate_binding(struct admission *a, struct problem *p) {
        const json_t *ref = json_object_get(a->object, "roleRef"), *rules;
        const char *name = json_str_or(ref, "name", "");
        const char *plural = streq(json_str_or(ref, "kind", ""), "ClusterRole") ? "clusterroles"
                                                                                : "roles";

        if ((is_unchanged(a, "roleRef") && is_unchanged(a, "subjects")) ||
                        user_is_master(a->user) || has_verb(a, "bind", plural, name))
                return 0;
        if (rbac_refresh(a->api->rbac, a->api) < 0)
                return -ENOMEM;
        rules = rbac_role_rules(a->api->rbac, a->namespace, ref);
        if (!rules)
                return problem_set(p, ENOENT, 404, "NotFound", "%s." RBAC_GROUP " \"%s\" not found",
                                plural, name);
        return check_covered(a, rules, p);
}

static const struct admission_rule rules[] = {
                {.group = RBAC_GROUP,
                                .plural = "roles",
                                .operations = ADMIT_WRITE,
                                .validate = validate_role},
                {.group = RBAC_GROUP,
                                .plural = "clusterroles",
                                .operations = ADMIT_WRITE,
                                .validate = validate_role},
                {.group = RBAC_GROUP,
                                .plural = "rolebindings",
                                .operations = ADMIT_WRITE,
                                .validate = validate_binding},
                {.group = RBAC_GROUP,
                                .plural = "clusterrolebindings",
                                .operations = ADMIT_WRITE,
                                .validate = validate_binding},
                {0},
};

const struct admission_plugin admission_rbac = {.safeguard = true, .rules = rules};
