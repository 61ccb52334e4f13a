/* The documents of other servers come from outside: of each resource only what has the right type
 * is taken, and no more than RESOURCES_MAX of them. Reference: the aggregation layer's conversion
 * of APIResourceLists (KEP-3352). */
#include "kapid/discovery/merge.h"

#include "kapid/kinds/versions.h"
#include "lib/map.h"

enum { RESOURCES_MAX = 4000 };

static int compare(const void *left, const void *right) {
        const struct discovery_version *a = left, *b = right;
        int r;

        if (a->group_priority != b->group_priority)
                return a->group_priority > b->group_priority ? -1 : 1;
        r = strcmp(a->group, b->group);
        if (r != 0)
                return r;
        if (a->version_priority != b->version_priority)
                return a->version_priority > b->version_priority ? -1 : 1;
        return versions_compare(a->version, b->version);
}

static int compare_groups(const void *left, const void *right) {
        return strcmp(((const struct discovery_version *)left)->group,
                        ((const struct discovery_version *)right)->group);
}

void discovery_versions_sort(struct discovery_version *v, size_t n) {
        if (n < 2)
                return;
        qsort(v, n, sizeof(*v), compare_groups);
        for (size_t i = 0, end; i < n; i = end) {
                int64_t largest = v[i].group_priority;

                for (end = i; end < n && streq(v[end].group, v[i].group); end++)
                        largest = MAX(largest, v[end].group_priority);
                for (size_t k = i; k < end; k++)
                        v[k].group_priority = largest;
        }
        qsort(v, n, sizeof(*v), compare);
}

/* --- the order of a document --- */

/* Sorts a list of objects by the names that stand at the path, as they come in v: those of its
 * groups, or, with group, of that one's versions. */
static int reorder(json_t *list, const char *path, const struct discovery_version *v, size_t n,
                const char *group) {
        _cleanup_(map_freep) struct map *left = map_new(NULL);
        _cleanup_json_ json_t *sorted = json_array();
        json_t *item;
        size_t i;

        if (!left || !sorted)
                return -ENOMEM;
        json_array_foreach (list, i, item)
                if (map_set(left, json_str_or(item, path, ""), item) < 0)
                        return -ENOMEM;
        for (i = 0; i < n; i++) {
                if (group && !streq(v[i].group, group))
                        continue;
                item = map_steal(left, group ? v[i].version : v[i].group);
                if (item && json_array_append(sorted, item) < 0)
                        return -ENOMEM;
        }
        map_foreach (left, e)
                if (json_array_append(sorted, map_entry_value(e)) < 0)
                        return -ENOMEM;
        return json_array_clear(list) < 0 || json_array_extend(list, sorted) < 0 ? -ENOMEM : 0;
}

/* Of a group, whose first version is the one to prefer. preferred: it says which. */
static int reorder_versions(json_t *group, const char *name, const struct discovery_version *v,
                size_t n, bool preferred) {
        json_t *versions = json_object_get(group, "versions");
        int r = reorder(versions, "version", v, n, name);

        if (r < 0 || !preferred)
                return r;
        return json_object_set(group, "preferredVersion", json_array_get(versions, 0)) < 0 ? -ENOMEM
                                                                                           : 0;
}

/* The groups of a document and their versions; path: of a group's name. */
static int reorder_all(json_t *groups, const char *path, const struct discovery_version *v,
                size_t n, bool preferred) {
        /* The rows of a group are beside each other: no search among all for each. */
        _cleanup_(map_freep) struct map *by_name = map_new(NULL);
        json_t *group;
        size_t i;

        if (!by_name)
                return -ENOMEM;
        json_array_foreach (groups, i, group)
                if (map_set(by_name, json_str_or(group, path, ""), group) < 0)
                        return -ENOMEM;
        for (size_t at = 0, end; at < n; at = end) {
                int r;

                for (end = at; end < n && streq(v[end].group, v[at].group);)
                        end++;
                group = map_get(by_name, v[at].group);
                r = group ? reorder_versions(group, v[at].group, v + at, end - at, preferred) : 0;
                if (r < 0)
                        return r;
        }
        return reorder(groups, path, v, n, NULL);
}

/* The object in the list that has the text at the path. */
static json_t *find(json_t *list, const char *path, const char *text) {
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, path, ""), text))
                        return v;
        return NULL;
}

static json_t *group_version(const struct discovery_version *v) {
        return json_pack("{s:o, s:s}", "groupVersion", json_sprintf("%s/%s", v->group, v->version),
                        "version", v->version);
}

/* --- the old documents --- */

static int add_version(json_t *group, const struct discovery_version *v) {
        json_t *versions = json_object_get(group, "versions");

        if (find(versions, "version", v->version))
                return 0;
        return json_array_append_new(versions, group_version(v)) < 0 ? -ENOMEM : 0;
}

static json_t *new_group(const struct discovery_version *v) {
        return json_pack("{s:s, s:[], s:o}", "name", v->group, "versions", "preferredVersion",
                        group_version(v));
}

int discovery_merge_groups(json_t *list, const struct discovery_version *v, size_t n) {
        json_t *groups = json_object_get(list, "groups");

        for (size_t i = 0; i < n; i++) {
                json_t *group = v[i].local ? NULL : find(groups, "name", v[i].group);
                int r;

                if (v[i].local)
                        continue;
                if (!group) {
                        group = new_group(&v[i]);
                        if (json_array_append_new(groups, group) < 0)
                                return -ENOMEM;
                }
                r = add_version(group, &v[i]);
                if (r < 0)
                        return r;
        }
        return reorder_all(groups, "name", v, n, /* preferred= */ true);
}

json_t *discovery_merge_group(
                json_t *group, const char *name, const struct discovery_version *v, size_t n) {
        _cleanup_json_ json_t *entry = group;

        for (size_t i = 0; i < n; i++) {
                if (v[i].local || !streq(v[i].group, name))
                        continue;
                if (!entry) {
                        entry = new_group(&v[i]);
                        if (!entry ||
                                        json_object_set_new(entry, "kind",
                                                        json_string("APIGroup")) < 0 ||
                                        json_object_set_new(
                                                        entry, "apiVersion", json_string("v1")) < 0)
                                return NULL;
                }
                if (add_version(entry, &v[i]) < 0)
                        return NULL;
        }
        if (entry && reorder_versions(entry, name, v, n, /* preferred= */ true) < 0)
                return NULL;
        return TAKE_PTR(entry);
}

/* --- the aggregated one --- */

static json_t *response_kind(const json_t *resource, const struct discovery_version *v) {
        const char *group = json_str_or(resource, "group", ""),
                   *version = json_str_or(resource, "version", "");

        return json_pack("{s:s, s:s, s:s}", "group", *group ? group : v->group, "version",
                        *version ? version : v->version, "kind", json_str_or(resource, "kind", ""));
}

/* A list of words as the resource has it, under another name; nothing where there is none. */
static int copy_words(json_t *to, const json_t *resource, const char *field) {
        json_t *words = json_object_get(resource, field);

        return json_array_size(words) == 0 || json_object_set(to, field, words) >= 0 ? 0 : -ENOMEM;
}

static json_t *new_resource(const json_t *resource, const struct discovery_version *v,
                const char *name, bool is_parent) {
        bool namespaced = json_bool_or(resource, "namespaced", false);
        json_t *made = json_pack("{s:s, s:o, s:s, s:s, s:[]}", "resource", name, "responseKind",
                        is_parent ? json_pack("{s:s, s:s, s:s}", "group", "", "version", "", "kind",
                                                    "")
                                  : response_kind(resource, v),
                        "scope", namespaced ? "Namespaced" : "Cluster", "singularResource",
                        is_parent ? "" : json_str_or(resource, "singularName", ""), "verbs");

        if (made && !is_parent &&
                        (copy_words(made, resource, "verbs") < 0 ||
                                        copy_words(made, resource, "shortNames") < 0 ||
                                        copy_words(made, resource, "categories") < 0)) {
                json_decref(made);
                return NULL;
        }
        return made;
}

static int add_subresource(json_t *parent, const json_t *resource,
                const struct discovery_version *v, const char *name) {
        json_t *list = json_object_get(parent, "subresources"), *verbs, *made;

        if (!list) {
                list = json_array();
                if (json_object_set_new(parent, "subresources", list) < 0)
                        return -ENOMEM;
        }
        verbs = json_object_get(resource, "verbs");
        made = json_pack("{s:s, s:o, s:o}", "subresource", name, "responseKind",
                        response_kind(resource, v), "verbs",
                        json_is_array(verbs) ? json_incref(verbs) : json_array());
        return json_array_append_new(list, made) < 0 ? -ENOMEM : 0;
}

/* One of the APIResourceList: "things", or "things/status" below its parent, which may be missing.
 * parents: those of the list by name; there may be thousands. */
static int add_resource(json_t *resources, struct map *parents, const json_t *resource,
                const struct discovery_version *v) {
        const char *name = json_str_or(resource, "name", ""), *slash = strchr(name, '/');
        _cleanup_free_ char *first = slash ? strndup(name, (size_t)(slash - name)) : strdup(name);
        json_t *parent;

        if (!first)
                return -ENOMEM;
        if (!*first)
                return 0;
        parent = map_get(parents, first);
        if (!parent) {
                parent = new_resource(resource, v, first, slash != NULL);
                if (json_array_append_new(resources, parent) < 0 ||
                                map_set(parents, first, parent) < 0)
                        return -ENOMEM;
        }
        return slash ? add_subresource(parent, resource, v, slash + 1) : 0;
}

static json_t *new_version(const struct discovery_version *v) {
        _cleanup_json_ json_t *made = json_pack("{s:s, s:s, s:[]}", "version", v->version,
                        "freshness", v->stale || !v->resources ? "Stale" : "Current", "resources");
        _cleanup_(map_freep) struct map *parents = map_new(NULL);
        const json_t *resource;
        size_t i;

        if (!made || !parents)
                return NULL;
        /* Resources before subresources, so that a parent is what it says of itself. */
        for (int subs = 0; subs < 2; subs++)
                json_array_foreach (json_object_get(v->resources, "resources"), i, resource) {
                        bool sub = strchr(json_str_or(resource, "name", ""), '/') != NULL;

                        if (i >= RESOURCES_MAX)
                                break;
                        if (sub == (subs == 1) && add_resource(json_object_get(made, "resources"),
                                                                  parents, resource, v) < 0)
                                return NULL;
                }
        return TAKE_PTR(made);
}

static int put_version(json_t *group, const struct discovery_version *v) {
        json_t *versions = json_object_get(group, "versions"), *made = new_version(v), *at;
        size_t i;

        json_array_foreach (versions, i, at)
                if (streq(json_str_or(at, "version", ""), v->version))
                        return json_array_set_new(versions, i, made) < 0 ? -ENOMEM : 0;
        return json_array_append_new(versions, made) < 0 ? -ENOMEM : 0;
}

int discovery_merge_aggregated(json_t *list, const struct discovery_version *v, size_t n) {
        json_t *items = json_object_get(list, "items");

        for (size_t i = 0; i < n; i++) {
                json_t *group = v[i].local ? NULL : find(items, "metadata.name", v[i].group);
                int r;

                if (v[i].local)
                        continue;
                if (!group) {
                        group = json_pack("{s:{s:s}, s:[]}", "metadata", "name", v[i].group,
                                        "versions");
                        if (json_array_append_new(items, group) < 0)
                                return -ENOMEM;
                }
                r = put_version(group, &v[i]);
                if (r < 0)
                        return r;
        }
        return reorder_all(items, "metadata.name", v, n, /* preferred= */ false);
}

static int put_document(json_t *paths, const char *path, const char *hash) {
        json_t *url = json_sprintf("/openapi/v3/%s?hash=%s", path, hash);

        return json_object_set_new(paths, path, json_pack("{s:o}", "serverRelativeURL", url)) < 0
                               ? -ENOMEM
                               : 0;
}

int openapi_merge_index(json_t *index, const struct discovery_version *v, size_t n) {
        json_t *paths = json_object_get(index, "paths");

        for (size_t i = 0; i < n; i++) {
                _cleanup_free_ char *path = strformat("apis/%s/%s", v[i].group, v[i].version);
                int r;

                if (!path)
                        return -ENOMEM;
                if (v[i].local)
                        continue;
                json_object_del(paths, path);
                if (!v[i].openapi_hash)
                        continue;
                r = put_document(paths, path, v[i].openapi_hash);
                if (r < 0)
                        return r;
        }
        return 0;
}
