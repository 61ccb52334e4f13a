/* A map of group version -> kinds, filled from APIResourceList documents. */
#include "reconcilers/gitsync/discovery.h"

#include "lib/map.h"
#include "lib/object.h"

/* One kind's resource with the strings it points to. */
struct known_kind {
        struct api_resource resource;
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];
        char *plural, *kind;
};

struct discovery {
        struct api_client *client;
        struct map *versions; /* api version -> struct map of kind -> struct known_kind */
};

static void entry_free(void *p) {
        struct known_kind *e = p;

        free(e->plural);
        free(e->kind);
        free(e);
}

static void kinds_free(void *p) {
        map_free(p);
}

int discovery_new(struct discovery **ret, struct api_client *client) {
        struct discovery *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        d->client = client;
        d->versions = map_new(kinds_free);
        if (!d->versions) {
                free(d);
                return -ENOMEM;
        }
        *ret = d;
        return 0;
}

struct discovery *discovery_free(struct discovery *d) {
        if (d)
                map_free(d->versions);
        free(d);
        return NULL;
}

const struct api_resource *discovery_find(
                const struct discovery *d, const char *api_version, const char *kind) {
        const struct map *kinds = map_get(d->versions, api_version);
        const struct known_kind *e = kinds ? map_get(kinds, kind) : NULL;

        return e ? &e->resource : NULL;
}

static int add_kind(struct map *kinds, const char *api_version, const json_t *r) {
        const char *name = json_str(r, "name"), *kind = json_str(r, "kind");
        struct known_kind *e;

        if (!name || !kind || strchr(name, '/')) /* subresources have entries too */
                return 0;
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->plural = strdup(name);
        e->kind = strdup(kind);
        if (!e->plural || !e->kind ||
                        object_split_api_version(api_version, e->group, e->version) < 0 ||
                        map_set(kinds, kind, e) < 0) {
                entry_free(e);
                return -ENOMEM;
        }
        e->resource = (struct api_resource){e->group, e->version, e->plural, e->kind,
                        json_bool_or(r, "namespaced", false)};
        return 0;
}

struct refresh {
        struct discovery *discovery;
        discovery_done_func done;
        void *userdata;
        char *api_version;
};

static int take_answer(struct discovery *d, const char *api_version, const json_t *list) {
        _cleanup_(map_freep) struct map *kinds = map_new(entry_free);
        const json_t *resource;
        size_t i;
        int r;

        if (!kinds)
                return -ENOMEM;
        json_array_foreach (json_object_get(list, "resources"), i, resource) {
                r = add_kind(kinds, api_version, resource);
                if (r < 0)
                        return r;
        }
        r = map_set(d->versions, api_version, kinds);
        if (r < 0)
                return r;
        kinds = NULL; /* the map's now */
        return 0;
}

static void on_answer(int error, const json_t *list, const struct problem *p, void *userdata) {
        struct refresh *refresh = userdata;
        struct refresh it = *refresh;

        free(refresh);
        if (error == 0)
                error = take_answer(it.discovery, it.api_version, list);
        else if (error == -ENOENT)
                map_remove(it.discovery->versions, it.api_version);
        free(it.api_version);
        it.done(error, p, it.userdata);
}

int discovery_refresh(struct discovery *d, const char *api_version, discovery_done_func done,
                void *userdata, struct api_call **ret) {
        _cleanup_free_ char *path = strformat(
                        "%s/%s", strchr(api_version, '/') ? "/apis" : "/api", api_version);
        struct refresh *refresh = calloc(1, sizeof(*refresh));
        int r = -ENOMEM;

        if (!refresh)
                return -ENOMEM;
        *refresh = (struct refresh){d, done, userdata, strdup(api_version)};
        if (path && refresh->api_version)
                r = api_get_async(d->client, path, on_answer, refresh, ret);
        if (r < 0) {
                free(refresh->api_version);
                free(refresh);
        }
        return r;
}
