/* Objects of other kinds, by group and plural: what admission, authorization and verbs read. */
#include "kapid/api.h"

struct cache *api_cache(struct api *a, const char *group, const char *plural) {
        const struct kind *k = kind_registry_find_resource(a->kinds, group, plural);

        return k && k->stored ? caches_get(a->caches, k->storage_prefix) : NULL;
}

struct item *api_find(struct api *a, const char *group, const char *plural, const char *namespace,
                const char *name) {
        struct cache *c = api_cache(a, group, plural);
        _cleanup_free_ char *path =
                        isempty(namespace) ? strdup(name) : strformat("%s/%s", namespace, name);

        return c && path ? cache_find(c, path) : NULL;
}
