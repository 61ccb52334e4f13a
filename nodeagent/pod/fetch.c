/* One GET per object; they run side by side and the callback comes after the last answer. A claim
 * that is bound is followed by a GET of its volume, in the same item. */
#include "nodeagent/pod/fetch.h"

#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"

struct fetch_item {
        struct fetch *fetch;
        struct api_call *call;
        const char *kind; /* static: a row of kinds */
        char *name;
        char *volume; /* of a claim, when it is asked for */
};

static const struct {
        const char *key; /* in resources */
        enum kind_id id;
} kinds[] = {{"configmaps", KIND_CONFIGMAPS}, {"secrets", KIND_SECRETS},
                {"claims", KIND_PERSISTENTVOLUMECLAIMS}};

struct fetch {
        struct fetch_item *items;
        size_t count, pending;
        struct api_client *api;
        json_t *resources;
        json_t *old;
        bool complete;
        fetch_done_func done;
        void *userdata;
};

static void fetch_free(struct fetch *f) {
        for (size_t i = 0; i < f->count; i++) {
                api_call_cancel(f->items[i].call);
                free(f->items[i].name);
                free(f->items[i].volume);
        }
        free(f->items);
        json_decref(f->resources);
        json_decref(f->old);
        free(f);
}

struct fetch *fetch_cancel(struct fetch *f) {
        if (f)
                fetch_free(f);
        return NULL;
}

static void finish(struct fetch *f) {
        fetch_done_func done = f->done;
        void *userdata = f->userdata;
        _cleanup_json_ json_t *resources = json_incref(f->resources);
        bool complete = f->complete;

        fetch_free(f);
        done(resources, complete, userdata);
}

static int follow_claim(struct fetch_item *item, int error, const json_t *claim);

/* Keeps an object, or its last known state when it could not be fetched. */
static void keep(struct fetch *f, const char *key, const char *name, int error,
                const json_t *object) {
        const json_t *old = json_get(f->old, key, name, NULL);

        if (error != 0 && error != -ENOENT) {
                f->complete = false;
                object = old;
        } else if (error != 0)
                object = NULL;
        if (!object)
                return;
        if (!json_object_get(f->resources, key))
                json_object_set_new(f->resources, key, json_object());
        json_object_set(json_object_get(f->resources, key), name, json_unconst(object));
}

static void on_answer(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct fetch_item *item = userdata;
        struct fetch *f = item->fetch;

        item->call = NULL;
        keep(f, item->kind, item->name, error, object);
        if (streq(item->kind, "claims") &&
                        follow_claim(item, error,
                                        json_get(f->resources, "claims", item->name, NULL)) > 0)
                return;
        if (--f->pending == 0)
                finish(f);
}

static void on_volume(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct fetch_item *item = userdata;
        struct fetch *f = item->fetch;

        item->call = NULL;
        keep(f, "volumes", item->volume, error, object);
        if (--f->pending == 0)
                finish(f);
}

/* 1 when the claim's volume is being fetched. A claim that is known from before only keeps the
 * volume of before. */
static int follow_claim(struct fetch_item *item, int error, const json_t *claim) {
        const char *name = json_str_or(claim, "spec.volumeName", "");
        _cleanup_free_ char *path = NULL;
        struct fetch *f = item->fetch;

        if (!*name)
                return 0;
        if (error != 0) {
                keep(f, "volumes", name, error, /* object= */ NULL);
                return 0;
        }
        path = api_path(api_resource(KIND_PERSISTENTVOLUMES), NULL, name, NULL, NULL);
        item->volume = strdup(name);
        if (path && item->volume && api_get_async(f->api, path, on_volume, item, &item->call) >= 0)
                return 1;
        keep(f, "volumes", name, -ENOMEM, /* object= */ NULL);
        return 0;
}

static int start_item(struct fetch *f, const char *ns, size_t kind, const char *name) {
        struct fetch_item *item = &f->items[f->count++];
        _cleanup_free_ char *path = api_path(api_resource(kinds[kind].id), ns, name, NULL, NULL);

        *item = (struct fetch_item){.fetch = f, .kind = kinds[kind].key, .name = strdup(name)};
        if (!path || !item->name)
                return -ENOMEM;
        return api_get_async(f->api, path, on_answer, item, &item->call);
}

static void on_token(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct fetch_item *item = userdata;
        struct fetch *f = item->fetch;
        _cleanup_json_ json_t *entry = error == 0 ? pod_token_entry(object, now_wall_us()) : NULL;

        item->call = NULL;
        /* The old one is good for a fifth of its life. */
        keep(f, "tokens", item->name, entry ? 0 : error == 0 ? -EBADMSG : error, entry);
        if (!entry)
                f->complete = false;
        if (--f->pending == 0)
                finish(f);
}

static int start_token(struct fetch *f, const char *ns, const char *key, const json_t *wanted) {
        struct fetch_item *item = &f->items[f->count++];
        _cleanup_free_ char *path = api_path(api_resource(KIND_SERVICEACCOUNTS), ns,
                        json_str_or(wanted, "account", ""), "token", NULL);

        *item = (struct fetch_item){.fetch = f, .kind = "tokens", .name = strdup(key)};
        if (!path || !item->name)
                return -ENOMEM;
        return api_create_async(f->api, path, json_at(wanted, "body"), on_token, item, &item->call);
}

static int start_tokens(struct fetch *f, const char *ns, const json_t *references) {
        uint64_t now_us = now_wall_us();
        const char *key;
        json_t *wanted;

        json_object_each (json_object_get(references, "tokens"), key, wanted) {
                const json_t *old = json_get(f->old, "tokens", key, NULL);
                int r;

                if (!pod_token_is_due(old, now_us)) {
                        keep(f, "tokens", key, /* error= */ 0, old);
                        continue;
                }
                r = start_token(f, ns, key, wanted);
                if (r < 0)
                        return r;
                f->pending++;
        }
        return 0;
}

static int start_objects(struct fetch *f, const char *ns, const json_t *references) {
        for (size_t k = 0; k < ELEMENTS(kinds); k++) {
                const char *name;
                json_t *v;

                json_object_each (json_object_get(references, kinds[k].key), name, v) {
                        int r = start_item(f, ns, k, name);

                        if (r < 0)
                                return r;
                        f->pending++;
                }
        }
        return 0;
}

bool fetch_is_due(const json_t *references, const json_t *old, uint64_t now_us) {
        const char *key;
        json_t *v;

        for (size_t k = 0; k < ELEMENTS(kinds); k++)
                if (json_object_size(json_object_get(references, kinds[k].key)) > 0)
                        return true;
        json_object_each (json_object_get(references, "tokens"), key, v)
                if (pod_token_is_due(json_get(old, "tokens", key, NULL), now_us))
                        return true;
        return false;
}

int fetch_start(struct fetch **ret, struct api_client *api, const char *ns,
                const json_t *references, const json_t *old, fetch_done_func done, void *userdata) {
        struct fetch *f = calloc(1, sizeof(*f));
        size_t n = json_object_size(json_object_get(references, "tokens"));

        if (!f)
                return -ENOMEM;
        for (size_t k = 0; k < ELEMENTS(kinds); k++)
                n += json_object_size(json_at(references, kinds[k].key));
        *f = (struct fetch){.api = api, .complete = true, .done = done, .userdata = userdata};
        f->resources = json_pack("{s:{}, s:{}}", "configmaps", "secrets");
        f->old = json_incref(json_unconst(old));
        f->items = calloc(MAX(n, (size_t)1), sizeof(*f->items));
        if (!f->resources || !f->items) {
                fetch_free(f);
                return -ENOMEM;
        }
        if (start_objects(f, ns, references) < 0 || start_tokens(f, ns, references) < 0) {
                fetch_free(f);
                return -ENOMEM;
        }
        assert(f->pending > 0);
        *ret = f;
        return 0;
}
