/* RBAC. Bindings are kept by subject ("U:alice", "G:devs"), so that a question looks only at what
 * names its user or one of the user's groups. Rules stay the JSON of their roles: most users have
 * few. */
#include "kapid/auth/authz.h"

#include "lib/map.h"
#include "lib/object.h"

/* Roles before the bindings that name them. */
enum { RBAC_KINDS = 4 };
static const char *const rbac_kinds[RBAC_KINDS] = {
                "clusterroles", "roles", "clusterrolebindings", "rolebindings"};

struct binding {
        struct binding *next;
        char *namespace; /* "" cluster-wide */
        json_t *rules;   /* array */
};

struct rbac {
        struct map *roles;    /* "ns/name" or "/name" for ClusterRoles -> json array of rules */
        struct map *subjects; /* -> list of struct binding */
        struct cache *caches[RBAC_KINDS]; /* as rbac_kinds; borrowed, found at the first look */
        uint64_t seen[RBAC_KINDS];
        bool ready;
};

static void binding_list_free(void *p) {
        struct binding *b = p;

        while (b) {
                struct binding *next = b->next;

                free(b->namespace);
                json_decref(b->rules);
                free(b);
                b = next;
        }
}

static void rules_free(void *p) {
        json_decref(p);
}

struct rbac *rbac_new(void) {
        struct rbac *rbac = calloc(1, sizeof(*rbac));

        if (!rbac)
                return NULL;
        rbac->roles = map_new(rules_free);
        rbac->subjects = map_new(binding_list_free);
        if (!rbac->roles || !rbac->subjects)
                return rbac_free(rbac);
        return rbac;
}

struct rbac *rbac_free(struct rbac *rbac) {
        if (!rbac)
                return NULL;
        map_free(rbac->roles);
        map_free(rbac->subjects);
        return mfree(rbac);
}

void rbac_clear(struct rbac *rbac) {
        map_clear(rbac->roles);
        map_clear(rbac->subjects);
}

static char *subject_key(const json_t *s, const char *namespace) {
        const char *kind = json_str_or(s, "kind", ""), *name = json_str_or(s, "name", "");

        if (streq(kind, "User"))
                return strformat("U:%s", name);
        if (streq(kind, "Group"))
                return strformat("G:%s", name);
        return strformat("U:system:serviceaccount:%s:%s", json_str_or(s, "namespace", namespace),
                        name);
}

const json_t *rbac_role_rules(
                const struct rbac *rbac, const char *namespace, const json_t *role_ref) {
        bool cluster = streq(json_str_or(role_ref, "kind", ""), "ClusterRole");
        _cleanup_free_ char *key = strformat(
                        "%s/%s", cluster ? "" : namespace, json_str_or(role_ref, "name", ""));

        return key ? map_get(rbac->roles, key) : NULL;
}

/* The map holds list heads: a new binding goes behind the head, so the head's place stays. */
static int add_binding(
                struct rbac *rbac, const char *key, const char *namespace, const json_t *rules) {
        struct binding *head = map_get(rbac->subjects, key), *b = calloc(1, sizeof(*b));

        if (!b)
                return -ENOMEM;
        b->namespace = strdup(namespace);
        b->rules = json_incref((json_t *)rules);
        if (!b->namespace || (!head && map_set(rbac->subjects, key, b) < 0)) {
                binding_list_free(b);
                return -ENOMEM;
        }
        if (head) {
                b->next = head->next;
                head->next = b;
        }
        return 0;
}

int rbac_add(struct rbac *rbac, const json_t *object) {
        const char *kind = object_kind(object), *namespace = object_namespace(object);
        const json_t *rules, *s;
        size_t i;

        if (streq(kind, "Role") || streq(kind, "ClusterRole")) {
                _cleanup_free_ char *key = strformat("%s/%s", namespace, object_name(object));
                json_t *v = json_object_get(object, "rules");

                if (!key)
                        return -ENOMEM;
                v = json_is_array(v) ? json_incref(v) : json_array();
                return v ? map_set(rbac->roles, key, v) : -ENOMEM;
        }
        rules = rbac_role_rules(rbac, namespace, json_object_get(object, "roleRef"));
        if (!rules)
                return 0; /* a binding to a role that is not there gives nothing */
        json_array_foreach (json_object_get(object, "subjects"), i, s) {
                _cleanup_free_ char *key = subject_key(s, namespace);
                int r = key ? add_binding(rbac, key, namespace, rules) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

static bool list_has(const json_t *list, const char *word, bool star) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *s = strempty(json_string_value(v));

                if (streq(s, word) || (star && streq(s, "*")))
                        return true;
        }
        return false;
}

/* "pods/log", "*", and "* /scale" (any resource's scale). */
static bool resource_matches(const json_t *list, const char *resource, const char *sub) {
        const json_t *v;
        size_t i, n = strlen(resource);

        json_array_foreach (list, i, v) {
                const char *s = strempty(json_string_value(v));

                if (streq(s, "*"))
                        return true;
                if (isempty(sub) ? streq(s, resource)
                                 : (strncmp(s, resource, n) == 0 && s[n] == '/' &&
                                                   streq(s + n + 1, sub)) ||
                                                                (startswith(s, "*/") &&
                                                                                streq(s + 2, sub)))
                        return true;
        }
        return false;
}

static bool path_matches(const json_t *list, const char *path) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *s = strempty(json_string_value(v));
                size_t n = strlen(s);

                if (streq(s, path) || (n > 0 && s[n - 1] == '*' && strncmp(s, path, n - 1) == 0))
                        return true;
        }
        return false;
}

static bool rule_allows(const json_t *rule, const struct access *a) {
        const json_t *names = json_object_get(rule, "resourceNames");

        if (!list_has(json_object_get(rule, "verbs"), a->verb, true))
                return false;
        if (a->path)
                return path_matches(json_object_get(rule, "nonResourceURLs"), a->path);
        return list_has(json_object_get(rule, "apiGroups"), a->group, true) &&
               resource_matches(json_object_get(rule, "resources"), a->resource, a->subresource) &&
               (json_array_size(names) == 0 || list_has(names, a->name, false));
}

static bool subject_allows(const struct rbac *rbac, const char *prefix, const char *name,
                const struct access *a) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, name);

        for (struct binding *b = key ? map_get(rbac->subjects, key) : NULL; b; b = b->next) {
                const json_t *rule;
                size_t i;

                if (*b->namespace && (a->path || !streq(b->namespace, a->namespace)))
                        continue;
                json_array_foreach (b->rules, i, rule)
                        if (rule_allows(rule, a))
                                return true;
        }
        return false;
}

bool rbac_allows(const struct rbac *rbac, const struct access *a) {
        if (subject_allows(rbac, "U:", a->user->name, a))
                return true;
        for (char **g = a->user->groups; g && *g; g++)
                if (subject_allows(rbac, "G:", *g, a))
                        return true;
        return false;
}

/* One combination of a rule after the other: each must be allowed by what the user has. "*" is
 * asked as the word itself, which only a "*" matches. */
static bool covers_paths(const struct rbac *rbac, struct access a, const json_t *rule) {
        const json_t *verb, *url;
        size_t i, k;

        json_array_foreach (json_object_get(rule, "verbs"), i, verb) {
                json_array_foreach (json_object_get(rule, "nonResourceURLs"), k, url) {
                        a.verb = strempty(json_string_value(verb));
                        a.path = strempty(json_string_value(url));
                        if (!rbac_allows(rbac, &a))
                                return false;
                }
        }
        return true;
}

static bool covers_names(const struct rbac *rbac, struct access a, const json_t *names) {
        const json_t *name;
        size_t i;

        if (json_array_size(names) == 0)
                return rbac_allows(rbac, &a);
        json_array_foreach (names, i, name) {
                a.name = strempty(json_string_value(name));
                if (!rbac_allows(rbac, &a))
                        return false;
        }
        return true;
}

static bool covers_rule(const struct rbac *rbac, struct access a, const json_t *rule) {
        const json_t *verb, *group, *resource;
        size_t i, k, l;

        if (!covers_paths(rbac, a, rule))
                return false;
        json_array_foreach (json_object_get(rule, "verbs"), i, verb) {
                json_array_foreach (json_object_get(rule, "apiGroups"), k, group) {
                        json_array_foreach (json_object_get(rule, "resources"), l, resource) {
                                const char *text = strempty(json_string_value(resource));
                                const char *slash = strchr(text, '/');
                                _cleanup_free_ char *name = strndup(text,
                                                slash ? (size_t)(slash - text) : strlen(text));

                                if (!name)
                                        return false;
                                a.verb = strempty(json_string_value(verb));
                                a.group = strempty(json_string_value(group));
                                a.resource = name;
                                a.subresource = slash ? slash + 1 : "";
                                if (!covers_names(rbac, a, json_object_get(rule, "resourceNames")))
                                        return false;
                        }
                }
        }
        return true;
}

bool rbac_covers(const struct rbac *rbac, const struct user *u, const char *namespace,
                const json_t *rules, const json_t **ret_missing) {
        const struct access a = {.user = u,
                        .verb = "",
                        .group = "",
                        .version = "",
                        .resource = "",
                        .subresource = "",
                        .namespace = namespace,
                        .name = ""};
        const json_t *rule;
        size_t i;

        json_array_foreach (rules, i, rule) {
                if (covers_rule(rbac, a, rule))
                        continue;
                if (ret_missing)
                        *ret_missing = rule;
                return false;
        }
        return true;
}

static int collect(const struct rbac *rbac, const char *prefix, const char *name,
                const char *namespace, json_t *resource_rules, json_t *path_rules) {
        _cleanup_free_ char *key = strformat("%s%s", prefix, name);

        if (!key)
                return -ENOMEM;
        for (struct binding *b = map_get(rbac->subjects, key); b; b = b->next) {
                json_t *rule;
                size_t i;

                if (*b->namespace && !streq(b->namespace, namespace))
                        continue;
                json_array_foreach (b->rules, i, rule) {
                        if (json_array_size(json_object_get(rule, "nonResourceURLs")) > 0)
                                json_array_append(path_rules, rule);
                        else
                                json_array_append(resource_rules, rule);
                }
        }
        return 0;
}

json_t *rbac_rules_of(const struct rbac *rbac, const struct user *u, const char *namespace) {
        _cleanup_json_ json_t *resources = json_array(), *paths = json_array();

        if (!resources || !paths || collect(rbac, "U:", u->name, namespace, resources, paths) < 0)
                return NULL;
        for (char **g = u->groups; g && *g; g++)
                if (collect(rbac, "G:", *g, namespace, resources, paths) < 0)
                        return NULL;
        return json_pack("{sO, sO, sb}", "resourceRules", resources, "nonResourceRules", paths,
                        "incomplete", 0);
}

static int add_all(struct rbac *rbac, const struct cache *c) {
        for (struct item *it = cache_first(c, ""); it; it = cache_next(c, it)) {
                _cleanup_json_ json_t *object = item_object(it);
                int r = object ? rbac_add(rbac, object) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* 1 when nothing changed since the last look. */
static int look(struct rbac *rbac, struct api *a) {
        bool same = rbac->ready;

        for (size_t i = 0; i < RBAC_KINDS; i++) {
                if (!rbac->caches[i])
                        rbac->caches[i] = api_cache(a, "rbac.authorization.k8s.io", rbac_kinds[i]);
                if (!rbac->caches[i])
                        return -ENOMEM;
                same = same && rbac->seen[i] == cache_changes(rbac->caches[i]);
        }
        return same;
}

int rbac_refresh(struct rbac *rbac, struct api *a) {
        int r = look(rbac, a);

        if (r != 0)
                return MIN(r, 0);
        rbac->ready = false;
        rbac_clear(rbac);
        for (size_t i = 0; i < RBAC_KINDS; i++) {
                r = add_all(rbac, rbac->caches[i]);
                if (r < 0)
                        return r;
                rbac->seen[i] = cache_changes(rbac->caches[i]);
        }
        rbac->ready = true;
        return 0;
}
