/* A table of informers that only grows: there are few kinds. */
#include "reconcilers/gitsync/drift.h"

#include "lib/map.h"
#include "lib/object.h"

struct watch {
        struct drift *drift;
        struct informer *informer;
        struct api_resource resource;
        char *group, *version, *plural, *kind;
};

struct drift {
        struct api_client *client;
        struct map *watches; /* "plural.group" -> struct watch */
        drift_func func;
        void *userdata;
};

static void watch_free(void *p) {
        struct watch *w = p;

        informer_free(w->informer);
        free(w->group);
        free(w->version);
        free(w->plural);
        free(w->kind);
        free(w);
}

int drift_new(struct drift **ret, struct api_client *client, drift_func func, void *userdata) {
        struct drift *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        *d = (struct drift){.client = client,
                        .watches = map_new(watch_free),
                        .func = func,
                        .userdata = userdata};
        if (!d->watches) {
                free(d);
                return -ENOMEM;
        }
        *ret = d;
        return 0;
}

struct drift *drift_free(struct drift *d) {
        if (d)
                map_free(d->watches);
        free(d);
        return NULL;
}

static void tell(struct watch *w, const json_t *owner, const json_t *object, bool gone) {
        const char *name = object_label(owner, "keelson.dev/gitsync-name"),
                   *ns = object_label(owner, "keelson.dev/gitsync-namespace");

        if (name && ns)
                w->drift->func(&w->resource, ns, name, object, gone, w->drift->userdata);
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct watch *w = userdata;

        tell(w, object, object, event == INFORMER_DELETED);
        /* Labels moved to another sync by hand: the first owner must hear of it too. */
        if (old && !streq_ptr(object_label(old, "keelson.dev/gitsync-name"),
                                   object_label(object, "keelson.dev/gitsync-name")))
                tell(w, old, object, false);
}

static char *watch_key(const char *group, const char *plural) {
        return strformat("%s.%s", plural, group);
}

int drift_watch(struct drift *d, const char *group, const char *version, const char *plural,
                const char *kind, bool namespaced) {
        _cleanup_free_ char *key = watch_key(group, plural);
        struct watch *w;
        int r = -ENOMEM;

        if (!key)
                return -ENOMEM;
        if (map_get(d->watches, key))
                return 0;
        w = calloc(1, sizeof(*w));
        if (!w)
                return -ENOMEM;
        w->drift = d;
        w->group = strdup(group);
        w->version = strdup(version);
        w->plural = strdup(plural);
        w->kind = strdup(kind);
        if (w->group && w->version && w->plural && w->kind) {
                w->resource = (struct api_resource){
                                w->group, w->version, w->plural, w->kind, namespaced};
                r = informer_new(&w->informer, d->client,
                                &(struct informer_options){.resource = &w->resource,
                                                .label_selector = "keelson.dev/gitsync-name",
                                                .on_event = on_event,
                                                .userdata = w});
        }
        if (r >= 0)
                r = map_set(d->watches, key, w);
        if (r < 0)
                watch_free(w);
        return r < 0 ? r : 0;
}

const json_t *drift_get(const struct drift *d, const char *group, const char *plural,
                const char *ns, const char *name) {
        _cleanup_free_ char *key = watch_key(group, plural);
        const struct watch *w = key ? map_get(d->watches, key) : NULL;

        return w ? informer_get2(w->informer, ns, name) : NULL;
}
