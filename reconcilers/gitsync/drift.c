/* A table of informers that only grows: there are few kinds. A service account's watch begins with
 * a list of one object, which is refused when it may not watch. */
#include "reconcilers/gitsync/drift.h"

#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { PROBE_AGAIN_US = 30000000 };

struct drift_watch {
        struct drift *drift;
        const struct identity *identity;
        struct informer *informer;
        struct api_call *probe;
        uint64_t probed_us;
        char *denied;
        struct api_resource resource;
        char *group, *version, *plural, *kind, *ns;
};

struct drift {
        struct map *watches; /* watch_key() -> struct drift_watch */
        struct drift_events events;
};

static void watch_free(void *p) {
        struct drift_watch *w = p;

        informer_free(w->informer);
        api_call_cancel(w->probe);
        free(w->denied);
        free(w->group);
        free(w->version);
        free(w->plural);
        free(w->kind);
        free(w->ns);
        free(w);
}

int drift_new(struct drift **ret, const struct drift_events *events) {
        struct drift *d = calloc(1, sizeof(*d));

        if (!d)
                return -ENOMEM;
        *d = (struct drift){.watches = map_new(watch_free), .events = *events};
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

static void tell(struct drift_watch *w, const json_t *owner, const json_t *object, bool gone) {
        const char *name = object_label(owner, "keelson.dev/gitsync-name"),
                   *ns = object_label(owner, "keelson.dev/gitsync-namespace");
        const struct drift_events *e = &w->drift->events;

        if (name && ns)
                e->changed(w->identity->user, &w->resource, ns, name, object, gone, e->userdata);
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct drift_watch *w = userdata;

        tell(w, object, object, event == INFORMER_DELETED);
        /* A person changed the labels to another GitSync's: the first owner is notified too. */
        if (old && !streq_ptr(object_label(old, "keelson.dev/gitsync-name"),
                                   object_label(object, "keelson.dev/gitsync-name")))
                tell(w, old, object, false);
}

static void on_synced(struct informer *i, void *userdata) {
        struct drift_watch *w = userdata;
        const struct drift_events *e = &w->drift->events;

        e->synced(w->identity->user, &w->resource, e->userdata);
}

/* kgitd's own watches hold all namespaces. */
static char *watch_key(
                const struct identity *identity, const struct api_resource *r, const char *ns) {
        return strformat("%s.%s|%s|%s", r->plural, r->group, identity->user,
                        *identity->user && r->namespaced ? strempty(ns) : "");
}

static int begin(struct drift_watch *w) {
        return informer_new(&w->informer, w->identity->client,
                        &(struct informer_options){.resource = &w->resource,
                                        .ns = *w->ns ? w->ns : NULL,
                                        .label_selector = "keelson.dev/gitsync-name",
                                        .on_event = on_event,
                                        .on_synced = on_synced,
                                        .userdata = w});
}

static void on_probe(int error, const json_t *list, const struct problem *p, void *userdata) {
        struct drift_watch *w = userdata;

        w->probe = NULL;
        w->denied = mfree(w->denied);
        if (error == -EACCES)
                w->denied = strdup(p->message ? p->message : "forbidden");
        else if (error == 0)
                (void)begin(w);
}

static int probe(struct drift_watch *w) {
        _cleanup_free_ char *path = NULL;

        w->probed_us = now_mono_us();
        path = api_path(&w->resource, *w->ns ? w->ns : NULL, NULL, NULL,
                        "limit=1&labelSelector=keelson.dev%2Fgitsync-name");
        return path ? api_get_async(w->identity->client, path, on_probe, w, &w->probe) : -ENOMEM;
}

static struct drift_watch *watch_new(struct drift *d, const struct identity *identity,
                const struct api_resource *r, const char *ns) {
        struct drift_watch *w = calloc(1, sizeof(*w));

        if (!w)
                return NULL;
        w->drift = d;
        w->identity = identity;
        w->group = strdup(r->group);
        w->version = strdup(r->version);
        w->plural = strdup(r->plural);
        w->kind = strdup(r->kind);
        w->ns = strdup(*identity->user && r->namespaced ? strempty(ns) : "");
        if (!w->group || !w->version || !w->plural || !w->kind || !w->ns) {
                watch_free(w);
                return NULL;
        }
        w->resource = (struct api_resource){
                        w->group, w->version, w->plural, w->kind, r->namespaced};
        return w;
}

int drift_watch(struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns) {
        _cleanup_free_ char *key = watch_key(identity, resource, ns);
        struct drift_watch *w = key ? map_get(d->watches, key) : NULL;
        int r;

        if (!key)
                return -ENOMEM;
        if (w)
                return w->informer || w->probe || now_mono_us() - w->probed_us < PROBE_AGAIN_US
                                       ? 0
                                       : probe(w);
        w = watch_new(d, identity, resource, ns);
        if (!w)
                return -ENOMEM;
        r = map_set(d->watches, key, w);
        if (r < 0) {
                watch_free(w);
                return r;
        }
        return *identity->user ? probe(w) : begin(w);
}

static const struct drift_watch *find(const struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns) {
        _cleanup_free_ char *key = watch_key(identity, resource, ns);

        return key ? map_get(d->watches, key) : NULL;
}

const char *drift_denied(const struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns) {
        const struct drift_watch *w = find(d, identity, resource, ns);

        return w ? w->denied : NULL;
}

const json_t *drift_get(const struct drift *d, const struct identity *identity,
                const struct api_resource *resource, const char *ns, const char *name) {
        const struct drift_watch *w = find(d, identity, resource, ns);

        return w && w->informer ? informer_get2(w->informer, ns, name) : NULL;
}
