/* Finds kinds: an array sorted by group, version preference and name; look-ups go through a map of
 * "group/version/plural". */
#include "kapid/kinds/internal.h"

#include "kapid/kinds/documents.h"
#include "kapid/kinds/versions.h"
#include "kapid/pipeline/pipeline.h"
#include "kapid/schema/schema.h"
#include "lib/map.h"
#include "lib/siphash.h"

enum { KEY_SIZE = 512 };

struct kind_registry {
        struct source *built_in;
        struct kind_entry **entries;
        size_t count;
        struct map *by_plural; /* "group/version/plural" -> entry */
        struct map *by_kind;   /* "group/version/Kind" -> entry */
        uint64_t generation;
        uint64_t serial; /* of the last kind made */
        uint64_t fingerprint;
};

static const char *key_of(char key[static KEY_SIZE], const char *group, const char *version,
                const char *name) {
        const size_t g = strlen(group), v = strlen(version), n = strlen(name);

        if (g + v + n + 3 > KEY_SIZE)
                return "";
        memcpy(key, group, g);
        key[g] = '/';
        memcpy(key + g + 1, version, v);
        key[g + 1 + v] = '/';
        memcpy(key + g + v + 2, name, n + 1);
        return key;
}

static int compare_entries(const void *a, const void *b) {
        const struct kind *x = &(*(struct kind_entry *const *)a)->kind,
                          *y = &(*(struct kind_entry *const *)b)->kind;
        int order = strcmp(x->group, y->group);

        if (order != 0)
                return order;
        order = versions_compare(x->version, y->version);
        return order != 0 ? order : strcmp(x->plural, y->plural);
}

/* The maps and the order after a change. */
static int reindex(struct kind_registry *registry) {
        char key[KEY_SIZE];

        if (registry->count > 0)
                qsort(registry->entries, registry->count, sizeof(*registry->entries),
                                compare_entries);
        map_clear(registry->by_plural);
        map_clear(registry->by_kind);
        for (size_t i = 0; i < registry->count; i++) {
                const struct kind *k = &registry->entries[i]->kind;

                if (map_set(registry->by_plural, key_of(key, k->group, k->version, k->plural),
                                    registry->entries[i]) < 0 ||
                                map_set(registry->by_kind,
                                                key_of(key, k->group, k->version, k->kind),
                                                registry->entries[i]) < 0)
                        return -ENOMEM;
        }
        registry->generation++;
        return 0;
}

/* Takes the entries (not the array). */
static int registry_add(struct kind_registry *registry, struct kind_entry **made, size_t n) {
        struct kind_entry **grown =
                        reallocarray(registry->entries, registry->count + n + 1, sizeof(*grown));

        if (!grown) {
                for (size_t i = 0; i < n; i++)
                        kind_unref(&made[i]->kind);
                return -ENOMEM;
        }
        registry->entries = grown;
        memcpy(grown + registry->count, made, n * sizeof(*made));
        registry->count += n;
        return 0;
}

static size_t registry_drop(struct kind_registry *registry, const char *document) {
        size_t kept = 0, all = registry->count;

        for (size_t i = 0; i < all; i++)
                if (registry->entries[i]->kind.custom &&
                                streq(registry->entries[i]->document, document))
                        kind_unref(&registry->entries[i]->kind);
                else
                        registry->entries[kept++] = registry->entries[i];
        registry->count = kept;
        return all - kept;
}

static int load_built_in(struct kind_registry *registry, char *const *settings, struct problem *p) {
        static const uint64_t key[2] = {0};
        _cleanup_json_ json_t *documents = NULL;
        _cleanup_free_ char *error = NULL;
        const json_t *doc;
        size_t i;
        int r;

        registry->fingerprint = siphash(key, kind_documents, kind_documents_size);
        if (json_parse(kind_documents, kind_documents_size, 0, &documents, &error) < 0)
                return problem_set(p, EINVAL, 500, "InternalError", "built-in kinds: %s",
                                strempty(error));
        r = versions_check(documents, settings, p);
        if (r < 0)
                return r;
        json_array_foreach (documents, i, doc) {
                json_t *definitions = json_object_get(doc, "definitions");

                if (definitions && schema_set_define(registry->built_in->set, definitions) < 0)
                        return -ENOMEM;
        }
        json_array_foreach (documents, i, doc) {
                struct kind_entry **made;
                size_t n;

                if (!json_object_get(doc, "spec"))
                        continue;
                r = kinds_make(registry->built_in, doc, false, settings, &made, &n, p);
                if (r < 0)
                        return r;
                r = registry_add(registry, made, n);
                free(made);
                if (r < 0)
                        return r;
        }
        /* Definitions that no kind refers to but the pipeline needs. */
        if (!schema_set_find(registry->built_in->set, "meta.v1.DeleteOptions", p) ||
                        !schema_set_find(registry->built_in->set, "autoscaling.v1.Scale", p) ||
                        !schema_set_find(registry->built_in->set, "meta.v1.ListMeta", p) ||
                        !schema_set_find(registry->built_in->set, "meta.v1.PartialObjectMetadata",
                                        p) ||
                        !schema_set_find(registry->built_in->set, "meta.v1.Status", p))
                return -EINVAL;
        schema_set_seal(registry->built_in->set);
        return reindex(registry);
}

/* A definition may be served again with changes: forms of objects made for an earlier one are known
 * by its number. */
static void number_kinds(struct kind_registry *registry, struct kind_entry **made, size_t n) {
        for (size_t i = 0; i < n; i++)
                made[i]->kind.serial = ++registry->serial;
}

int kind_registry_new(struct kind_registry **ret, struct problem *p) {
        return kind_registry_new_with(ret, NULL, p);
}

int kind_registry_new_with(struct kind_registry **ret, char *const *settings, struct problem *p) {
        _cleanup_(kind_registry_freep) struct kind_registry *registry =
                        calloc(1, sizeof(*registry));

        if (!registry)
                return -ENOMEM;
        registry->by_plural = map_new(NULL);
        registry->by_kind = map_new(NULL);
        if (!registry->by_plural || !registry->by_kind ||
                        source_new(&registry->built_in, NULL, NULL) < 0)
                return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
        int r = load_built_in(registry, settings, p);
        if (r < 0)
                return r == -ENOMEM ? problem_set(p, ENOMEM, 500, "InternalError", "out of memory")
                                    : r;
        number_kinds(registry, registry->entries, registry->count);
        *ret = TAKE_PTR(registry);
        return 0;
}

struct kind_registry *kind_registry_free(struct kind_registry *registry) {
        if (!registry)
                return NULL;
        for (size_t i = 0; i < registry->count; i++)
                kind_unref(&registry->entries[i]->kind);
        free(registry->entries);
        map_free(registry->by_plural);
        map_free(registry->by_kind);
        source_unref(registry->built_in);
        free(registry);
        return NULL;
}

const struct schema *kind_registry_definition(
                const struct kind_registry *registry, const char *name) {
        _cleanup_problem_ struct problem p = {0};

        return schema_set_find(registry->built_in->set, name, &p);
}

static const struct kind *lookup(
                const struct map *m, const char *group, const char *version, const char *name) {
        char key[KEY_SIZE];
        const struct kind_entry *e = map_get(m, key_of(key, group, version, name));

        return e ? &e->kind : NULL;
}

const struct kind *kind_registry_find(const struct kind_registry *registry, const char *group,
                const char *version, const char *plural) {
        return lookup(registry->by_plural, group, version, plural);
}

const struct kind *kind_registry_find_kind(const struct kind_registry *registry, const char *group,
                const char *version, const char *kind) {
        return lookup(registry->by_kind, group, version, kind);
}

const struct kind *kind_registry_find_resource(
                const struct kind_registry *registry, const char *group, const char *plural) {
        for (size_t i = 0; i < registry->count; i++) {
                const struct kind *k = &registry->entries[i]->kind;

                /* The first letter saves most of the calls. */
                if (*k->plural == *plural && streq(k->plural, plural) && streq(k->group, group))
                        return k;
        }
        return NULL;
}

bool kind_registry_has_group_version(
                const struct kind_registry *registry, const char *group, const char *version) {
        for (size_t i = 0; i < registry->count; i++)
                if (streq(registry->entries[i]->kind.group, group) &&
                                streq(registry->entries[i]->kind.version, version))
                        return true;
        return false;
}

const struct kind *kind_registry_at(const struct kind_registry *registry, size_t i) {
        return i < registry->count ? &registry->entries[i]->kind : NULL;
}

uint64_t kind_registry_fingerprint(const struct kind_registry *registry) {
        return registry->fingerprint;
}

uint64_t kind_registry_generation(const struct kind_registry *registry) {
        return registry->generation;
}

static int check_names_free(const struct kind_registry *registry, const struct kind *k,
                const char *document, struct problem *p) {
        for (size_t i = 0; i < registry->count; i++) {
                const struct kind *other = &registry->entries[i]->kind;
                bool same_kind = streq(other->kind, k->kind);

                if (!streq(other->group, k->group) ||
                                streq(registry->entries[i]->document, document))
                        continue;
                if (!other->custom || same_kind || streq(other->plural, k->plural)) {
                        problem_set(p, EEXIST, 422, "Invalid",
                                        "CustomResourceDefinition.apiextensions.k8s.io \"%s\" is "
                                        "invalid: "
                                        "spec.names.%s: Invalid value: \"%s\": is already taken in "
                                        "group %s",
                                        document, same_kind ? "kind" : "plural",
                                        same_kind ? k->kind : k->plural, k->group);
                        return problem_field(
                                        p, -EINVAL, "spec.names.%s", same_kind ? "kind" : "plural");
                }
        }
        return 0;
}

static int check_all_names_free(const struct kind_registry *registry, struct kind_entry **made,
                size_t n, const char *document, struct problem *p) {
        for (size_t i = 0; i < n; i++) {
                int r = check_names_free(registry, &made[i]->kind, document, p);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* Takes the entries (not the array) in the place of those that the document had. */
static int registry_replace(struct kind_registry *registry, const char *document,
                struct kind_entry **made, size_t n) {
        int r;

        number_kinds(registry, made, n);
        registry_drop(registry, document);
        r = registry_add(registry, made, n);
        if (r < 0)
                return r;
        return reindex(registry);
}

int kind_registry_add_crd(struct kind_registry *registry, const json_t *crd, struct problem *p) {
        const char *document = json_str_or(crd, "metadata.name", "");
        struct kind_entry **made = NULL;
        struct source *source;
        size_t n;
        int r = source_new(&source, registry->built_in->set, registry->built_in->rules);

        if (r < 0)
                return problem_set(p, ENOMEM, 500, "InternalError", "out of memory");
        r = kinds_make(source, crd, true, NULL, &made, &n, p);
        source_unref(source);
        if (r < 0) {
                if (r != -ENOMEM)
                        problem_prefix(p,
                                        "CustomResourceDefinition.apiextensions.k8s.io \"%s\" is "
                                        "invalid",
                                        document);
                return r;
        }
        r = check_all_names_free(registry, made, n, document, p);
        if (r < 0)
                for (size_t i = 0; i < n; i++)
                        kind_unref(&made[i]->kind);
        else
                r = registry_replace(registry, document, made, n);
        free(made);
        return r;
}

int kind_registry_remove_crd(struct kind_registry *registry, const char *crd_name) {
        if (registry_drop(registry, crd_name) == 0)
                return 0;
        return reindex(registry) < 0 ? -ENOMEM : 1;
}
