/* One informer for each object, shared by the pods that use it. */
#include "nodeagent/pod/object-watch.h"

#include "lib/client/informer.h"
#include "lib/log.h"
#include "lib/object.h"
#include "nodeagent/pod/pod.h"

struct object_watch {
        struct object_watches *all;
        struct informer *informer;
        struct map *pods; /* uid -> struct pod, borrowed */
        const char *kind; /* static: a row of kinds */
        char *key;
};

struct object_watches {
        struct agent *agent;
        struct map *by_key; /* "configmaps/namespace/name" -> struct object_watch */
        struct map *by_pod; /* uid -> json_t: its keys */
        bool full;          /* the limit was reported */
};

static const struct {
        const char *word;
        enum kind_id id;
} kinds[] = {{"configmaps", KIND_CONFIGMAPS}, {"secrets", KIND_SECRETS}};

static void watch_free(void *value) {
        struct object_watch *w = value;

        if (!w)
                return;
        informer_free(w->informer);
        map_free(w->pods);
        free(w->key);
        free(w);
}

static void on_event(struct informer *i, enum informer_event event, const json_t *old,
                const json_t *object, void *userdata) {
        struct object_watch *w = userdata;
        const char *version = event == INFORMER_DELETED
                                              ? ""
                                              : json_str_or(object, "metadata.resourceVersion", "");

        map_foreach (w->pods, e)
                sandbox_object_changed(map_entry_value(e), w->kind, object_name(object), version);
}

static int start_informer(struct object_watch *w, const char *ns, const char *name) {
        _cleanup_free_ char *selector = strformat("metadata.name=%s", name);
        struct informer_options o = {
                        .ns = ns, .field_selector = selector, .on_event = on_event, .userdata = w};

        if (!selector)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(kinds); i++)
                if (streq(kinds[i].word, w->kind))
                        o.resource = api_resource(kinds[i].id);
        return informer_new(&w->informer, w->all->agent->api, &o);
}

/* The kind of a key, and where namespace and name begin; NULL: not a key. */
static const char *kind_of(const char *key, const char **ret_rest) {
        for (size_t i = 0; i < ELEMENTS(kinds); i++) {
                const char *rest = startswith(key, kinds[i].word);

                if (rest && *rest == '/') {
                        *ret_rest = rest + 1;
                        return kinds[i].word;
                }
        }
        return NULL;
}

static int watch_start(struct object_watch *w, const char *ns, const char *name) {
        int r;

        if (!w->key || !w->pods)
                return -ENOMEM;
        r = start_informer(w, ns, name);
        return r < 0 ? r : map_set(w->all->by_key, w->key, w);
}

static int watch_new(struct object_watches *all, const char *key, struct object_watch **ret) {
        const char *rest = NULL, *kind = kind_of(key, &rest),
                   *slash = rest ? strchr(rest, '/') : NULL;
        _cleanup_free_ char *ns = slash ? strndup(rest, (size_t)(slash - rest)) : NULL;
        struct object_watch *w = calloc(1, sizeof(*w));
        int r;

        if (!w || !ns) {
                free(w);
                return -ENOMEM;
        }
        *w = (struct object_watch){
                        .all = all, .kind = kind, .key = strdup(key), .pods = map_new(NULL)};
        r = watch_start(w, ns, slash + 1);
        if (r < 0) {
                watch_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

static int acquire(struct object_watches *all, struct pod *p, const char *key) {
        struct object_watch *w = map_get(all->by_key, key);
        int r;

        if (!w && map_size(all->by_key) >= OBJECT_WATCHES_MAX) {
                if (!all->full)
                        log_notice("Pods here use more than %d ConfigMaps and Secrets in volumes; "
                                   "changes of the others are seen once a minute",
                                        OBJECT_WATCHES_MAX);
                all->full = true;
                return 0;
        }
        r = w ? 0 : watch_new(all, key, &w);
        return r < 0 ? r : map_set(w->pods, p->uid, p);
}

static void release(struct object_watches *all, struct pod *p, const char *key) {
        struct object_watch *w = map_get(all->by_key, key);

        if (!w)
                return;
        (void)map_steal(w->pods, p->uid);
        if (map_size(w->pods) == 0)
                (void)map_remove(all->by_key, key);
}

int object_watches_set(struct object_watches *all, struct pod *p, const json_t *keys) {
        _cleanup_json_ json_t *before = json_ref(map_get(all->by_pod, p->uid));
        const char *key;
        json_t *v;
        int r;

        json_object_each (before, key, v)
                if (!json_object_get(keys, key))
                        release(all, p, key);
        if (json_object_size(keys) == 0) {
                (void)map_remove(all->by_pod, p->uid);
                return 0;
        }
        r = map_set(all->by_pod, p->uid, json_ref(keys));
        if (r < 0)
                return r;
        json_object_each (keys, key, v) {
                r = acquire(all, p, key);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void free_keys(void *value) {
        json_decref(value);
}

int object_watches_new(struct object_watches **ret, struct agent *agent) {
        struct object_watches *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        *w = (struct object_watches){.agent = agent,
                        .by_key = map_new(watch_free),
                        .by_pod = map_new(free_keys)};
        if (!w->by_key || !w->by_pod) {
                object_watches_free(w);
                return -ENOMEM;
        }
        *ret = w;
        return 0;
}

struct object_watches *object_watches_free(struct object_watches *w) {
        if (!w)
                return NULL;
        map_free(w->by_key);
        map_free(w->by_pod);
        free(w);
        return NULL;
}
