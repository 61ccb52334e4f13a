/* Reference: kube-openapi's aggregator (pkg/aggregator). Trees come from texts, whose depth is
 * bounded. */
#include "kapid/discovery/merge-v2.h"

#include "lib/base.h"

#define REF_PREFIX "#/definitions/"
static const char gvk_key[] = "x-kubernetes-group-version-kind";

enum {
        NAMES_MAX = 1000, /* NAME_v2 and so on */
        KINDS_MAX = 200,  /* of one definition */
};

/* The name of the definition that a `$ref` refers to; NULL: it is none. */
static const char *ref_name(const char *key, const json_t *v) {
        const char *text = streq(key, "$ref") ? json_string_value(v) : NULL;

        return text ? startswith(text, REF_PREFIX) : NULL;
}

/* --- filter --- */

/* Adds the definitions that v refers to, and not the ones that they refer to. */
static int add_refs(const json_t *v, const json_t *all, json_t *found, json_t *queue) {
        const char *key;
        json_t *child;
        size_t i;

        json_array_foreach (v, i, child) {
                int r = add_refs(child, all, found, queue);

                if (r < 0)
                        return r;
        }
        json_object_each (v, key, child) {
                const char *name = ref_name(key, child);
                json_t *definition = name ? json_object_get(all, name) : NULL;
                int r = definition ? 0 : add_refs(child, all, found, queue);

                if (r < 0)
                        return r;
                if (!definition || json_object_get(found, name))
                        continue;
                if (json_object_set(found, name, definition) < 0 ||
                                json_array_append(queue, definition) < 0)
                        return -ENOMEM;
        }
        return 0;
}

static int find_definitions(const json_t *paths, const json_t *all, json_t *found) {
        _cleanup_json_ json_t *queue = json_array();
        int r = queue ? add_refs(paths, all, found, queue) : -ENOMEM;

        for (size_t i = 0; r >= 0 && i < json_array_size(queue); i++)
                r = add_refs(json_array_get(queue, i), all, found, queue);
        return r;
}

int openapi_v2_filter(const json_t *doc, const char *group, const char *version, json_t **ret) {
        _cleanup_free_ char *prefix = strformat("/apis/%s/%s", group, version);
        _cleanup_json_ json_t *paths = json_object(), *definitions = json_object();
        const char *path;
        json_t *v;
        int r;

        if (!prefix || !paths || !definitions)
                return -ENOMEM;
        json_object_each (json_object_get(doc, "paths"), path, v) {
                const char *rest = startswith(path, prefix);

                if (rest && (!*rest || *rest == '/') && json_is_object(v) &&
                                json_object_set(paths, path, v) < 0)
                        return -ENOMEM;
        }
        if (json_object_size(paths) == 0)
                return -ENOENT;
        r = find_definitions(paths, json_object_get(doc, "definitions"), definitions);
        if (r < 0)
                return r;
        *ret = json_pack("{sO, sO}", "paths", paths, "definitions", definitions);
        return *ret ? 0 : -ENOMEM;
}

/* --- merge --- */

/* Apart from the kinds that they are of. */
static bool same_definition(const json_t *a, const json_t *b) {
        size_t size_a = json_object_size(a) - (json_object_get(a, gvk_key) ? 1 : 0),
               size_b = json_object_size(b) - (json_object_get(b, gvk_key) ? 1 : 0);
        const char *key;
        json_t *v;

        if (!json_is_object(a) || !json_is_object(b) || size_a != size_b)
                return false;
        json_object_each (a, key, v)
                if (!streq(key, gvk_key) && !json_same(v, json_object_get(b, key)))
                        return false;
        return true;
}

/* 1: it is among those that were seen; 0: it is now; -ENOMEM. */
static int see_kind(json_t *seen, const json_t *v) {
        _cleanup_free_ char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);

        if (text && json_object_get(seen, text))
                return 1;
        return text && json_object_set_new(seen, text, json_true()) >= 0 ? 0 : -ENOMEM;
}

/* The kinds of both, up to a bound. Many definitions may have as many of them. */
static int add_kinds(json_t *to, const json_t *from) {
        _cleanup_json_ json_t *seen = json_object();
        json_t *list = json_object_get(to, gvk_key), *v;
        const json_t *more = json_object_get(from, gvk_key);
        size_t i;
        int r;

        if (!json_is_array(list) || !json_is_array(more) || json_array_size(list) >= KINDS_MAX)
                return 0;
        json_array_foreach (list, i, v)
                if (see_kind(seen, v) < 0)
                        return -ENOMEM;
        json_array_foreach (more, i, v) {
                if (i >= KINDS_MAX || json_array_size(list) >= KINDS_MAX)
                        break;
                r = see_kind(seen, v);
                if (r < 0 || (r == 0 && json_array_append(list, v) < 0))
                        return -ENOMEM;
        }
        return 0;
}

/* The name under which the definition is in the whole document, or may come in. -ENOSPC: there is
 * none; -ENOMEM. */
static int free_name(const json_t *whole, const json_t *part, const char *name,
                const json_t *definition, char **ret) {
        const json_t *there = json_object_get(whole, name);

        if (!there || same_definition(there, definition)) {
                *ret = strdup(name);
                return *ret ? 0 : -ENOMEM;
        }
        for (unsigned i = 2; i < NAMES_MAX; i++) {
                _cleanup_free_ char *other = strformat("%s_v%u", name, i);

                if (!other)
                        return -ENOMEM;
                there = json_object_get(whole, other);
                if (there ? same_definition(there, definition) : !json_object_get(part, other)) {
                        *ret = TAKE_PTR(other);
                        return 0;
                }
        }
        return -ENOSPC;
}

static int find_names(const json_t *whole, const json_t *part, json_t **ret) {
        _cleanup_json_ json_t *names = json_object();
        const char *name;
        json_t *v;

        if (!names)
                return -ENOMEM;
        json_object_each (part, name, v) {
                _cleanup_free_ char *other = NULL;
                int r = free_name(whole, part, name, v, &other);

                if (r < 0)
                        return r;
                if (!streq(other, name) && json_object_set_new(names, name, json_string(other)) < 0)
                        return -ENOMEM;
        }
        *ret = TAKE_PTR(names);
        return 0;
}

static int set_ref(json_t *holder, const char *key, const char *name) {
        _cleanup_free_ char *text = strformat(REF_PREFIX "%s", name);

        return text && json_object_set_new(holder, key, json_string(text)) >= 0 ? 0 : -ENOMEM;
}

static int rename_refs(json_t *v, const json_t *names) {
        const char *key;
        json_t *child;
        size_t i;
        int r = 0;

        json_array_foreach (v, i, child) {
                r = rename_refs(child, names);
                if (r < 0)
                        return r;
        }
        json_object_foreach (v, key, child) {
                const char *name = ref_name(key, child);
                const json_t *other = name ? json_object_get(names, name) : NULL;

                r = other ? set_ref(v, key, json_string_value(other)) : rename_refs(child, names);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int add_definitions(json_t *whole, const json_t *part, const json_t *names) {
        const char *name;
        json_t *v;

        json_object_each (part, name, v) {
                const char *other = json_string_value(json_object_get(names, name));
                json_t *there = json_object_get(whole, other ? other : name);
                int r = there ? add_kinds(there, v)
                              : json_object_set(whole, other ? other : name, v);

                if (r < 0)
                        return -ENOMEM;
        }
        return 0;
}

int openapi_v2_merge(json_t *whole, json_t *part_taken) {
        _cleanup_json_ json_t *part = part_taken, *names = NULL;
        json_t *paths = json_object_get(whole, "paths"),
               *definitions = json_object_get(whole, "definitions"),
               *more = json_object_get(part, "definitions");
        int r = find_names(definitions, more, &names);

        if (r < 0)
                return r;
        r = json_object_size(names) > 0 ? rename_refs(part, names) : 0;
        if (r < 0)
                return r;
        r = add_definitions(definitions, more, names);
        if (r < 0)
                return r;
        return json_object_update_missing(paths, json_object_get(part, "paths")) < 0 ? -ENOMEM : 0;
}
