/* kctl migrate: each object of a kind is written again as it is, so that the store has it in the
 * present storage version (and encrypted with the present key). Then status.storedVersions of a
 * CustomResourceDefinition names that version alone, and the others may leave its spec. A change of
 * the storage version in between is a conflict, and everything is done again. */
#include "kctl/kctl.h"
#include "lib/object.h"

enum { PAGE = 500, ROUNDS_MAX = 5, TRIES_MAX = 10 };

static int definition_path(const struct kind_ref *kind, const char *subresource, char **ret) {
        _cleanup_free_ char *name = strformat("%s.%s", kind->resource.plural, kind->resource.group);

        *ret = name ? api_path(api_resource(KIND_CUSTOMRESOURCEDEFINITIONS), NULL, name,
                                      subresource, NULL)
                    : NULL;
        return *ret ? 0 : -ENOMEM;
}

/* A patch that changes nothing makes the server store the object as it stores objects now. */
static int rewrite_one(struct kctl *k, const struct kind_ref *kind, const json_t *object,
                struct problem *p) {
        _cleanup_free_ char *path = api_path(&kind->resource,
                        kind->resource.namespaced ? object_namespace(object) : NULL,
                        object_name(object), NULL, NULL);
        _cleanup_json_ json_t *nothing = json_object();
        int r = -ENOMEM;

        for (unsigned i = 0; path && nothing && i < TRIES_MAX; i++) {
                problem_done(p);
                r = api_patch_request(k->client, path, API_PATCH_MERGE, nothing, NULL, p);
                if (r != -ESTALE)
                        break;
        }
        if (r == -ENOENT) { /* deleted meanwhile */
                problem_done(p);
                return 0;
        }
        return r;
}

static int rewrite_all(
                struct kctl *k, const struct kind_ref *kind, size_t *ret_count, struct problem *p) {
        _cleanup_free_ char *token = strdup("");
        size_t count = 0;

        do {
                _cleanup_free_ char *query = strformat("limit=%i%s%s", PAGE,
                                                    *strempty(token) ? "&continue=" : "",
                                                    strempty(token)),
                                    *path = query ? api_path(&kind->resource, NULL, NULL, NULL,
                                                                    query)
                                                  : NULL;
                _cleanup_json_ json_t *list = NULL;
                const json_t *object;
                size_t i;
                int r = path ? api_get(k->client, path, &list, p) : -ENOMEM;

                if (r < 0)
                        return r;
                json_array_foreach (json_object_get(list, "items"), i, object) {
                        r = rewrite_one(k, kind, object, p);
                        if (r < 0)
                                return r;
                        count++;
                }
                free(token);
                token = strdup(json_str_or(list, "metadata.continue", ""));
                if (!token)
                        return -ENOMEM;
        } while (*token);
        *ret_count = count;
        return 0;
}

/* Copied; "" when there is none. */
static char *storage_version(const json_t *definition) {
        const json_t *v;
        size_t i;

        json_array_foreach (json_at(definition, "spec.versions"), i, v)
                if (json_bool_or(v, "storage", false))
                        return strdup(json_str_or(v, "name", ""));
        return strdup("");
}

static int set_stored_versions(struct kctl *k, const struct kind_ref *kind,
                const json_t *definition, const char *version, struct problem *p) {
        _cleanup_json_ json_t *patch = json_pack("{s:{s:s}, s:{s:[s]}}", "metadata",
                        "resourceVersion", json_str_or(definition, "metadata.resourceVersion", ""),
                        "status", "storedVersions", version);
        _cleanup_free_ char *path = NULL;
        int r = definition_path(kind, "status", &path);

        if (r < 0 || !patch)
                return -ENOMEM;
        return api_patch_request(k->client, path, API_PATCH_MERGE, patch, NULL, p);
}

static void say(const struct kind_ref *kind, size_t count, const char *version) {
        char label[320];

        printf("%s: %zu object%s rewritten%s%s\n", kind_label(kind, label), count,
                        count == 1 ? "" : "s", *version ? ", stored versions: " : "", version);
}

/* -ESTALE when the definition has changed meanwhile. */
static int migrate_once(struct kctl *k, const struct kind_ref *kind, struct problem *p) {
        _cleanup_json_ json_t *definition = NULL, *after = NULL;
        _cleanup_free_ char *path = NULL, *version = NULL, *later = NULL;
        size_t count = 0;
        int r = definition_path(kind, NULL, &path);

        if (r < 0)
                return r;
        if (!kind->facts) { /* not built in */
                r = api_get(k->client, path, &definition, p);
                if (r < 0)
                        return r;
        }
        version = storage_version(definition);
        r = version ? rewrite_all(k, kind, &count, p) : -ENOMEM;
        if (r < 0)
                return r;
        if (definition) {
                r = api_get(k->client, path, &after, p);
                if (r < 0)
                        return r;
                later = storage_version(after);
                if (!later)
                        return -ENOMEM;
                if (!streq(later, version))
                        return problem_set(p, ESTALE, 0, NULL,
                                        "the storage version of %s.%s changes; try again when it "
                                        "stays",
                                        kind->resource.plural, kind->resource.group);
                r = set_stored_versions(k, kind, after, version, p);
                if (r < 0)
                        return r;
        }
        say(kind, count, version);
        return 0;
}

static int migrate(struct kctl *k, const char *word, struct problem *p) {
        struct kind_ref kind;
        int r = kind_find(k, word, &kind, p);

        for (unsigned i = 0; r >= 0 && i < ROUNDS_MAX; i++) {
                problem_done(p);
                r = migrate_once(k, &kind, p);
                if (r != -ESTALE)
                        return r;
                if (i + 1 < ROUNDS_MAX)
                        r = 0;
        }
        return r;
}

int kctl_migrate(struct kctl *k) {
        int code = EXIT_OK;

        if (k->word_count == 0)
                return kctl_usage(k, "migrate what? Give a kind, such as widgets.example.com");
        if (!kctl_client(k))
                return EXIT_ERROR;
        for (char **w = k->words; w && *w; w++) {
                _cleanup_problem_ struct problem p = {0};

                if (migrate(k, *w, &p) < 0)
                        code = kctl_fail(&p);
        }
        return code;
}
