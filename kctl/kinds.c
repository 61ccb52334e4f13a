/* Names of kinds as users type them. The catalogue of built-in kinds answers without a request;
 * the server's discovery is read only for a word that the catalogue does not have. */
#include "kctl/kctl.h"
#include "lib/object.h"

/* Whether a word means the kind: "pods", "Pod", "po", "pods.GROUP", in any case. */
static bool names_it(const struct api_resource *r, const char *singular,
                const char *const *short_names, const char *word) {
        const char *dot = strchr(word, '.');
        _cleanup_free_ char *bare = dot ? strndup(word, (size_t)(dot - word)) : strdup(word);

        if (!bare || (dot && !streq(dot + 1, r->group)))
                return false;
        for (; *short_names; short_names++)
                if (strcaseeq(bare, *short_names))
                        return true;
        return strcaseeq(bare, r->plural) || strcaseeq(bare, singular) || strcaseeq(bare, r->kind);
}

bool kind_is_called(const struct kind_facts *f, const char *word) {
        return names_it(&f->resource, f->singular, f->short_names, word);
}

/* An entry made from a discovery document; lives as long as the process. */
static int from_discovery(
                const char *group, const char *version, const json_t *entry, struct kind_ref *ret) {
        char *strings[] = {strdup(group), strdup(version), strdup(json_str_or(entry, "name", "")),
                        strdup(json_str_or(entry, "kind", "")),
                        strdup(json_str_or(entry, "singularName", ""))};

        for (size_t i = 0; i < ELEMENTS(strings); i++)
                if (!strings[i])
                        return -ENOMEM;
        *ret = (struct kind_ref){{strings[0], strings[1], strings[2], strings[3],
                                                 json_bool_or(entry, "namespaced", false)},
                        strings[4], NULL};
        return 0;
}

/* Looks through one APIResourceList for a kind (exact) or a word that a user typed. 1 when found.
 */
static int search_list(
                const json_t *list, const char *kind, const char *word, struct kind_ref *ret) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        static const char *const no_words[] = {NULL};
        const json_t *entry, *s;
        size_t i, j;

        if (object_split_api_version(json_str_or(list, "groupVersion", ""), group, version) < 0)
                return 0;
        json_array_foreach (json_object_get(list, "resources"), i, entry) {
                const char *name = json_str_or(entry, "name", "");
                const struct api_resource resource = {.group = group,
                                .version = version,
                                .plural = name,
                                .kind = json_str_or(entry, "kind", "")};
                bool match = kind ? streq(kind, resource.kind)
                                  : names_it(&resource, json_str_or(entry, "singularName", ""),
                                                    no_words, word);

                if (strchr(name, '/'))
                        continue;
                json_array_foreach (json_object_get(entry, "shortNames"), j, s)
                        match |= word && streq_ptr(json_string_value(s), word);
                if (match) {
                        int r = from_discovery(group, version, entry, ret);

                        return r < 0 ? r : 1;
                }
        }
        return 0;
}

static int search_version(struct kctl *k, const char *api_version, const char *kind,
                const char *word, struct kind_ref *ret, struct problem *p) {
        _cleanup_free_ char *path = strformat(
                        "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
        _cleanup_json_ json_t *list = NULL;

        if (!path)
                return -ENOMEM;
        if (!kctl_client(k))
                return -ENOTCONN;
        int r = api_get(k->client, path, &list, p);
        return r == -ENOENT ? 0 : r < 0 ? r : search_list(list, kind, word, ret);
}

static int search_server(
                struct kctl *k, const char *word, struct kind_ref *ret, struct problem *p) {
        _cleanup_json_ json_t *groups = NULL;
        const json_t *group;
        size_t i;
        int r;

        r = search_version(k, "v1", NULL, word, ret, p);
        if (r != 0)
                return r;
        r = api_get(k->client, "/apis", &groups, p);
        if (r < 0)
                return r;
        json_array_foreach (json_object_get(groups, "groups"), i, group) {
                r = search_version(k, json_str_or(group, "preferredVersion.groupVersion", ""), NULL,
                                word, ret, p);
                if (r != 0)
                        return r;
        }
        return 0;
}

int kind_find(struct kctl *k, const char *word, struct kind_ref *ret, struct problem *p) {
        for (size_t i = 0; i < KINDS_MAX; i++) {
                const struct kind_facts *f = &kind_facts[i];

                if (kind_is_called(f, word)) {
                        *ret = kind_ref_of((enum kind_id)i);
                        return 0;
                }
        }
        int r = search_server(k, word, ret, p);
        if (r < 0)
                return r;
        return r > 0 ? 0
                     : problem_set(p, ENOENT, 0, NULL,
                                       "the server doesn't have a resource type \"%s\"; kctl "
                                       "api-resources lists those it has",
                                       word);
}

int kind_find_object(struct kctl *k, const char *api_version, const char *kind,
                struct kind_ref *ret, struct problem *p) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        const struct kind_facts *facts;

        if (object_split_api_version(api_version, group, version) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "apiVersion \"%s\" is not GROUP/VERSION or v1", api_version);
        facts = kind_facts_by_kind(group, kind);
        if (facts && streq(facts->resource.version, version)) {
                *ret = kind_ref_of((enum kind_id)(facts - kind_facts));
                return 0;
        }
        int r = search_version(k, api_version, kind, NULL, ret, p);
        if (r < 0)
                return r;
        return r > 0 ? 0
                     : problem_set(p, ENOENT, 0, NULL,
                                       "the server has no kind \"%s\" in version \"%s\"; kctl "
                                       "api-resources lists those it has",
                                       kind, api_version);
}

struct kind_ref kind_ref_of(enum kind_id id) {
        const struct kind_facts *f = &kind_facts[id];

        return (struct kind_ref){f->resource, f->singular, f};
}

const char *kind_label(const struct kind_ref *kind, char buffer[static 320]) {
        snprintf(buffer, 320, "%s%s%s", kind->singular, *kind->resource.group ? "." : "",
                        kind->resource.group);
        return buffer;
}

const char *object_kind_label(
                const json_t *object, const struct kind_ref *kind, char buffer[static 320]) {
        char group[OBJECT_GROUP_SIZE] = "", version[OBJECT_VERSION_SIZE] = "";
        const char *own = object_kind(object);
        size_t n;

        if (!*own || streq(own, kind->resource.kind))
                return kind_label(kind, buffer);
        (void)object_split_api_version(object_api_version(object), group, version);
        snprintf(buffer, 320, "%.64s%s%.250s", own, *group ? "." : "", group);
        n = strcspn(buffer, ".");
        for (size_t i = 0; i < n; i++)
                buffer[i] = buffer[i] >= 'A' && buffer[i] <= 'Z' ? (char)(buffer[i] + 32)
                                                                 : buffer[i];
        return buffer;
}
