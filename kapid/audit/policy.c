/* A policy is compiled once into vectors of words; each request walks the rules. Rules match as in
 * kube-apiserver (staging/src/k8s.io/apiserver/pkg/audit/policy/checker.go). A field that is not
 * known is refused: a misspelt one would leave requests out without a word. */
#include "kapid/audit/policy.h"

#include "lib/vector.h"
#include "lib/yaml.h"

enum { RULES_MAX = 1000 };

struct group_rule {
        char *group;
        char **resources, **names;
};

struct rule {
        enum audit_level level;
        char **users, **groups, **verbs, **namespaces, **paths;
        VECTOR(struct group_rule) resources;
        unsigned omit_stages;
        bool omit_managed_fields;
};

struct audit_policy {
        VECTOR(struct rule) rules;
};

static const struct {
        enum audit_level level;
        const char *name;
} levels[] = {
                {AUDIT_NONE, "None"},
                {AUDIT_METADATA, "Metadata"},
                {AUDIT_REQUEST, "Request"},
                {AUDIT_REQUEST_RESPONSE, "RequestResponse"},
};

static const struct {
        enum audit_stage stage;
        const char *name;
} stages[] = {
                {AUDIT_RECEIVED, "RequestReceived"},
                {AUDIT_STARTED, "ResponseStarted"},
                {AUDIT_COMPLETE, "ResponseComplete"},
                {AUDIT_PANIC, "Panic"},
};

const char *audit_level_name(enum audit_level level) {
        return levels[level].name;
}

const char *audit_stage_name(enum audit_stage stage) {
        for (size_t i = 0; i < ELEMENTS(stages); i++)
                if (stages[i].stage == stage)
                        return stages[i].name;
        assert_not_reached();
}

static void rule_done(struct rule *r) {
        for (size_t i = 0; i < r->resources.count; i++) {
                free(r->resources.items[i].group);
                strv_free(r->resources.items[i].resources);
                strv_free(r->resources.items[i].names);
        }
        vector_done(&r->resources);
        strv_free(r->users);
        strv_free(r->groups);
        strv_free(r->verbs);
        strv_free(r->namespaces);
        strv_free(r->paths);
}

struct audit_policy *audit_policy_free(struct audit_policy *policy) {
        if (!policy)
                return NULL;
        for (size_t i = 0; i < policy->rules.count; i++)
                rule_done(&policy->rules.items[i]);
        vector_done(&policy->rules);
        return mfree(policy);
}

/* --- reading --- */

/* All refusals are set with the code 0: they are about a file. */
static int check_fields(
                const json_t *v, const char *const *known, const char *where, struct problem *p) {
        const char *name;
        json_t *member;

        if (!json_is_object(v))
                return problem_set(p, EINVAL, 0, NULL, "%s: expected a mapping", where);
        json_object_each (v, name, member) {
                bool found = false;

                for (const char *const *k = known; *k; k++)
                        found |= streq(*k, name);
                if (!found)
                        return problem_set(p, EINVAL, 0, NULL, "%s: unknown field \"%s\"", where,
                                        name);
        }
        return 0;
}

static int read_words(const json_t *v, const char *name, const char *where, char ***ret,
                struct problem *p) {
        const json_t *list = json_object_get(v, name), *item;
        size_t i;

        if (!list || json_is_null(list))
                return 0;
        if (!json_is_array(list))
                return problem_set(
                                p, EINVAL, 0, NULL, "%s.%s: expected a list of texts", where, name);
        json_array_foreach (list, i, item) {
                if (!json_is_string(item))
                        return problem_set(p, EINVAL, 0, NULL, "%s.%s[%zu]: expected a text", where,
                                        name, i);
                if (strv_extend(ret, json_string_value(item)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int read_bool(const json_t *v, const char *name, const char *where, bool *ret,
                struct problem *p) {
        const json_t *b = json_object_get(v, name);

        if (!b || json_is_null(b))
                return 0;
        if (!json_is_boolean(b))
                return problem_set(
                                p, EINVAL, 0, NULL, "%s.%s: expected true or false", where, name);
        *ret = json_is_true(b);
        return 0;
}

static int read_stages(const json_t *v, const char *where, unsigned *ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        int r = read_words(v, "omitStages", where, &words, p);

        if (r < 0)
                return r;
        for (char **w = words; w && *w; w++) {
                bool found = false;

                for (size_t i = 0; i < ELEMENTS(stages); i++)
                        if (streq(stages[i].name, *w)) {
                                *ret |= stages[i].stage;
                                found = true;
                        }
                if (!found)
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s.omitStages: \"%s\" is not one of RequestReceived, "
                                        "ResponseStarted, ResponseComplete, Panic",
                                        where, *w);
        }
        return 0;
}

static int read_level(
                const json_t *v, const char *where, enum audit_level *ret, struct problem *p) {
        const char *name = json_str_or(v, "level", "");

        for (size_t i = 0; i < ELEMENTS(levels); i++)
                if (streq(levels[i].name, name)) {
                        *ret = levels[i].level;
                        return 0;
                }
        return problem_set(p, EINVAL, 0, NULL,
                        "%s.level: \"%s\" is not one of None, Metadata, Request, RequestResponse",
                        where, name);
}

static int read_group(struct rule *rule, const json_t *v, const char *where, struct problem *p) {
        static const char *const known[] = {"group", "resources", "resourceNames", NULL};
        struct group_rule g = {0};
        int r = check_fields(v, known, where, p);

        if (r < 0)
                return r;
        g.group = strdup(json_str_or(v, "group", ""));
        r = g.group ? vector_append(&rule->resources, g) : -ENOMEM;
        if (r < 0) {
                free(g.group);
                return r;
        }
        struct group_rule *last = &rule->resources.items[rule->resources.count - 1];
        r = read_words(v, "resources", where, &last->resources, p);
        if (r < 0)
                return r;
        r = read_words(v, "resourceNames", where, &last->names, p);
        if (r < 0)
                return r;
        if (last->names && !last->resources)
                return problem_set(p, EINVAL, 0, NULL, "%s.resourceNames: needs resources", where);
        return 0;
}

static int read_groups(struct rule *rule, const json_t *v, const char *where, struct problem *p) {
        const json_t *list = json_object_get(v, "resources"), *item;
        size_t i;

        if (list && !json_is_array(list))
                return problem_set(p, EINVAL, 0, NULL, "%s.resources: expected a list", where);
        json_array_foreach (list, i, item) {
                _cleanup_free_ char *at = strformat("%s.resources[%zu]", where, i);
                int r = at ? read_group(rule, item, at, p) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int check_paths(const struct rule *rule, const char *where, struct problem *p) {
        if (rule->paths && (rule->resources.count > 0 || rule->namespaces))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: a rule is about nonResourceURLs or about resources and "
                                "namespaces, not about both",
                                where);
        for (char **s = rule->paths; s && *s; s++) {
                const char *star = strchr(*s, '*');

                if (streq(*s, "*"))
                        continue;
                if (**s != '/')
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s.nonResourceURLs: \"%s\" does not begin with /", where,
                                        *s);
                if (star && star[1])
                        return problem_set(p, EINVAL, 0, NULL,
                                        "%s.nonResourceURLs: \"%s\" has a * that is not at its end",
                                        where, *s);
        }
        return 0;
}

static int read_rule_words(
                struct rule *rule, const json_t *v, const char *where, struct problem *p) {
        const struct {
                const char *name;
                char ***words;
        } lists[] = {
                        {"users", &rule->users},
                        {"userGroups", &rule->groups},
                        {"verbs", &rule->verbs},
                        {"namespaces", &rule->namespaces},
                        {"nonResourceURLs", &rule->paths},
        };

        for (size_t i = 0; i < ELEMENTS(lists); i++) {
                int r = read_words(v, lists[i].name, where, lists[i].words, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* rule begins with what the whole policy says. */
static int read_rule(struct rule *rule, const json_t *v, const char *where, struct problem *p) {
        static const char *const known[] = {"level", "users", "userGroups", "verbs", "namespaces",
                        "nonResourceURLs", "resources", "omitStages", "omitManagedFields", NULL};
        int r = check_fields(v, known, where, p);

        if (r < 0)
                return r;
        r = read_level(v, where, &rule->level, p);
        if (r < 0)
                return r;
        r = read_rule_words(rule, v, where, p);
        if (r < 0)
                return r;
        r = read_groups(rule, v, where, p);
        if (r < 0)
                return r;
        r = read_stages(v, where, &rule->omit_stages, p);
        if (r < 0)
                return r;
        r = read_bool(v, "omitManagedFields", where, &rule->omit_managed_fields, p);
        return r < 0 ? r : check_paths(rule, where, p);
}

static int read_policy(struct audit_policy *policy, const json_t *v, struct problem *p) {
        static const char *const known[] = {"apiVersion", "kind", "metadata", "rules", "omitStages",
                        "omitManagedFields", NULL};
        const json_t *rules = json_object_get(v, "rules"), *item;
        struct rule common = {0};
        size_t i;
        int r = check_fields(v, known, "the policy", p);

        if (r < 0)
                return r;
        if (!streq(json_str_or(v, "apiVersion", ""), "audit.k8s.io/v1") ||
                        !streq(json_str_or(v, "kind", ""), "Policy"))
                return problem_set(p, EINVAL, 0, NULL,
                                "expected apiVersion: audit.k8s.io/v1 and kind: Policy");
        if (json_array_size(rules) == 0 || json_array_size(rules) > RULES_MAX)
                return problem_set(p, EINVAL, 0, NULL, "rules: expected a list of 1 to %d rules",
                                RULES_MAX);
        r = read_stages(v, "the policy", &common.omit_stages, p);
        if (r < 0)
                return r;
        r = read_bool(v, "omitManagedFields", "the policy", &common.omit_managed_fields, p);
        if (r < 0)
                return r;
        json_array_foreach (rules, i, item) {
                _cleanup_free_ char *where = strformat("rules[%zu]", i);

                if (!where || vector_append(&policy->rules, common) < 0)
                        return -ENOMEM;
                r = read_rule(&policy->rules.items[i], item, where, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

int audit_policy_new(struct audit_policy **ret, const char *text, size_t n, struct problem *p) {
        _cleanup_(audit_policy_freep) struct audit_policy *policy = calloc(1, sizeof(*policy));
        _cleanup_yaml_docs_ struct yaml_docs docs = {0};
        int r;

        if (!policy)
                return -ENOMEM;
        r = yaml_parse(text, n, &docs, p);
        if (r < 0)
                return r;
        if (docs.count != 1)
                return problem_set(p, EINVAL, 0, NULL, "expected one document, and there are %zu",
                                docs.count);
        r = read_policy(policy, docs.items[0].value, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(policy);
        return 0;
}

/* --- matching --- */

static bool any_group(const struct rule *rule, const struct audit_attributes *a) {
        for (char *const *g = a->groups; g && *g; g++)
                if (strv_contains(rule->groups, *g))
                        return true;
        return false;
}

static bool path_matches(char *const *paths, const char *path) {
        for (; *paths; paths++) {
                const char *star = strchr(*paths, '*');

                if (star ? strncmp(*paths, path, (size_t)(star - *paths)) == 0
                         : streq(*paths, path))
                        return true;
        }
        return false;
}

/* word: "pods", "pods/log", "pods/ *" (without the blank), "* /status" (likewise), "*". */
static bool resource_matches(const char *word, const struct audit_attributes *a) {
        const char *slash = strchr(word, '/');
        size_t n = slash ? (size_t)(slash - word) : 0;

        if (streq(word, "*"))
                return true;
        if (!slash)
                return isempty(a->subresource) && streq(word, a->resource);
        if (n == 1 && *word == '*')
                return !isempty(a->subresource) && streq(slash + 1, a->subresource);
        if (strlen(a->resource) != n || strncmp(word, a->resource, n) != 0)
                return false;
        return streq(slash + 1, "*") ||
               (!isempty(a->subresource) && streq(slash + 1, a->subresource));
}

static bool group_matches(const struct group_rule *g, const struct audit_attributes *a) {
        if (!streq(g->group, a->group))
                return false;
        if (!g->resources)
                return true;
        if (g->names && !strv_contains(g->names, a->name))
                return false;
        for (char **word = g->resources; *word; word++)
                if (resource_matches(*word, a))
                        return true;
        return false;
}

static bool rule_matches_resource(const struct rule *rule, const struct audit_attributes *a) {
        if (a->path || (rule->namespaces && !strv_contains(rule->namespaces, a->namespace)))
                return false;
        if (rule->resources.count == 0)
                return true;
        for (size_t i = 0; i < rule->resources.count; i++)
                if (group_matches(&rule->resources.items[i], a))
                        return true;
        return false;
}

static bool rule_matches(const struct rule *rule, const struct audit_attributes *a) {
        if (rule->users && !strv_contains(rule->users, a->user))
                return false;
        if (rule->groups && !any_group(rule, a))
                return false;
        if (rule->verbs && !strv_contains(rule->verbs, a->verb))
                return false;
        if (rule->namespaces || rule->resources.count > 0)
                return rule_matches_resource(rule, a);
        if (rule->paths)
                return a->path && path_matches(rule->paths, a->path);
        return true;
}

struct audit_decision audit_policy_decide(
                const struct audit_policy *policy, const struct audit_attributes *a) {
        for (size_t i = 0; i < policy->rules.count; i++) {
                const struct rule *rule = &policy->rules.items[i];

                if (rule_matches(rule, a))
                        return (struct audit_decision){.level = rule->level,
                                        .omit_stages = rule->omit_stages,
                                        .omit_managed_fields = rule->omit_managed_fields};
        }
        return (struct audit_decision){.level = AUDIT_NONE};
}
