/* Discovery documents, aggregated and old, from the registry's order: kinds of one group and
 * version are listed together, versions in order of preference (docs/wire.md section 5). */
#include "kapid/discovery/discovery.h"

#include "lib/crypto.h"

enum { STORAGE_HASH_SIZE = 8 };

static json_t *strings(char *const *v) {
        json_t *list = json_array();

        for (; list && v && *v; v++)
                json_array_append_new(list, json_string(*v));
        return list;
}

static json_t *response_kind(const char *group, const char *version, const char *kind) {
        return json_pack("{s:s, s:s, s:s}", "group", group, "version", version, "kind", kind);
}

/* Of a definition that is being deleted, those that help to remove what is left. */
static json_t *verbs_of(const struct kind *k) {
        static const unsigned hidden = KIND_CREATE | KIND_PATCH | KIND_UPDATE;

        return kind_verbs_json(k->terminating ? k->verbs & ~hidden : k->verbs);
}

static json_t *aggregated_resource(const struct kind *k) {
        json_t *r = json_pack("{s:s, s:o, s:s, s:s, s:o}", "resource", k->plural, "responseKind",
                        response_kind(k->group, k->version, k->kind), "scope",
                        k->namespaced ? "Namespaced" : "Cluster", "singularResource", k->singular,
                        "verbs", verbs_of(k));
        json_t *subs = k->subresource_count > 0 ? json_array() : NULL;

        if (!r)
                return NULL;
        if (k->short_names)
                json_object_set_new(r, "shortNames", strings(k->short_names));
        if (k->categories)
                json_object_set_new(r, "categories", strings(k->categories));
        for (size_t i = 0; i < k->subresource_count; i++) {
                const struct kind_subresource *s = &k->subresources[i];

                json_array_append_new(subs,
                                json_pack("{s:s, s:o, s:o}", "subresource", s->name, "responseKind",
                                                response_kind(s->group, s->version, s->kind),
                                                "verbs", kind_verbs_json(s->verbs)));
        }
        if (subs)
                json_object_set_new(r, "subresources", subs);
        return r;
}

json_t *discovery_aggregated(const struct kind_registry *r, bool core, const char *version) {
        _cleanup_free_ char *api_version = strformat("apidiscovery.k8s.io/%s", version);
        json_t *list = json_pack("{s:s, s:s, s:{}, s:[]}", "kind", "APIGroupDiscoveryList",
                        "apiVersion", strempty(api_version), "metadata", "items");
        json_t *items = json_object_get(list, "items"), *group = NULL, *resources = NULL;
        const struct kind *k, *previous = NULL;

        for (size_t i = 0; items && (k = kind_registry_at(r, i)); i++) {
                if ((*k->group == 0) != core)
                        continue;
                if (!previous || !streq(previous->group, k->group)) {
                        group = core ? json_pack("{s:{}, s:[]}", "metadata", "versions")
                                     : json_pack("{s:{s:s}, s:[]}", "metadata", "name", k->group,
                                                       "versions");
                        json_array_append_new(items, group);
                        previous = NULL;
                }
                if (!previous || !streq(previous->version, k->version)) {
                        json_t *v = json_pack("{s:s, s:s, s:[]}", "version", k->version,
                                        "freshness", "Current", "resources");

                        json_array_append_new(json_object_get(group, "versions"), v);
                        resources = json_object_get(v, "resources");
                }
                json_array_append_new(resources, aggregated_resource(k));
                previous = k;
        }
        return list;
}

json_t *discovery_api_versions(const char *address) {
        return json_pack("{s:s, s:[s], s:[{s:s, s:s}]}", "kind", "APIVersions", "versions", "v1",
                        "serverAddressByClientCIDRs", "clientCIDR", "0.0.0.0/0", "serverAddress",
                        strempty(address));
}

static json_t *group_version(const struct kind *k) {
        return json_pack("{s:s, s:s}", "groupVersion", k->api_version, "version", k->version);
}

/* {name, versions, preferredVersion} of a group; the first kind met has the preferred version. */
static json_t *group_entry(const struct kind_registry *r, const char *name) {
        const struct kind *k, *previous = NULL;
        json_t *entry = NULL;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++) {
                if (!streq(k->group, name))
                        continue;
                if (!entry)
                        entry = json_pack("{s:s, s:[], s:o}", "name", name, "versions",
                                        "preferredVersion", group_version(k));
                if (!previous || !streq(previous->version, k->version))
                        json_array_append_new(json_object_get(entry, "versions"), group_version(k));
                previous = k;
        }
        return entry;
}

json_t *discovery_group_list(const struct kind_registry *r) {
        json_t *list = json_pack(
                        "{s:s, s:s, s:[]}", "kind", "APIGroupList", "apiVersion", "v1", "groups");
        const char *previous = "";
        const struct kind *k;

        for (size_t i = 0; list && (k = kind_registry_at(r, i)); i++)
                if (*k->group && !streq(k->group, previous)) {
                        json_array_append_new(
                                        json_object_get(list, "groups"), group_entry(r, k->group));
                        previous = k->group;
                }
        return list;
}

json_t *discovery_group(const struct kind_registry *r, const char *group) {
        json_t *entry = *group ? group_entry(r, group) : NULL;

        if (entry) {
                json_object_set_new(entry, "kind", json_string("APIGroup"));
                json_object_set_new(entry, "apiVersion", json_string("v1"));
        }
        return entry;
}

/* What tells clients that objects are stored in another version now. */
static json_t *storage_version_hash(const struct kind *k) {
        _cleanup_free_ char *text = strformat(
                        "%s/%s/%s", k->storage_group, k->storage_version, k->kind);
        _cleanup_(sha256_freep) struct sha256 *h = sha256_new();
        uint8_t digest[SHA256_SIZE];
        _cleanup_free_ char *base64 = NULL;

        if (!text || !h)
                return NULL;
        sha256_add(h, text, strlen(text));
        sha256_take(h, digest);
        base64 = base64_encode(digest, STORAGE_HASH_SIZE);
        return base64 ? json_string(base64) : NULL;
}

static void add_resource(json_t *list, const struct kind *k) {
        json_t *r = json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", k->plural, "singularName",
                        k->singular, "namespaced", k->namespaced, "kind", k->kind, "verbs",
                        verbs_of(k));

        if (k->short_names)
                json_object_set_new(r, "shortNames", strings(k->short_names));
        if (k->categories)
                json_object_set_new(r, "categories", strings(k->categories));
        json_object_set_new(r, "storageVersionHash", storage_version_hash(k));
        json_array_append_new(list, r);
        for (size_t i = 0; i < k->subresource_count; i++) {
                const struct kind_subresource *s = &k->subresources[i];
                _cleanup_free_ char *name = strformat("%s/%s", k->plural, s->name);
                json_t *sub = json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", strempty(name),
                                "singularName", "", "namespaced", k->namespaced, "kind", s->kind,
                                "verbs", kind_verbs_json(s->verbs));

                if (!streq(s->group, k->group) || !streq(s->version, k->version)) {
                        json_object_set_new(sub, "group", json_string(s->group));
                        json_object_set_new(sub, "version", json_string(s->version));
                }
                json_array_append_new(list, sub);
        }
}

json_t *discovery_resource_list(
                const struct kind_registry *r, const char *group, const char *version) {
        json_t *list = NULL;
        const struct kind *k;

        for (size_t i = 0; (k = kind_registry_at(r, i)); i++) {
                if (!streq(k->group, group) || !streq(k->version, version))
                        continue;
                if (!list)
                        list = json_pack("{s:s, s:s, s:s, s:[]}", "kind", "APIResourceList",
                                        "apiVersion", "v1", "groupVersion", k->api_version,
                                        "resources");
                add_resource(json_object_get(list, "resources"), k);
        }
        return list;
}
