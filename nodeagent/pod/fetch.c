/* One GET per object; they run side by side and the callback comes after the last answer. */
#include "nodeagent/pod/fetch.h"

#include "lib/object.h"

struct fetch_item {
        struct fetch *fetch;
        struct api_call *call;
        const char *kind; /* static: "configmaps" or "secrets" */
        char *name;
};

struct fetch {
        struct fetch_item *items;
        size_t count, pending;
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

static void on_answer(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct fetch_item *item = userdata;
        struct fetch *f = item->fetch;
        const json_t *old = json_get(f->old, item->kind, item->name, NULL);

        item->call = NULL;
        if (error == 0)
                json_object_set(json_object_get(f->resources, item->kind), item->name,
                                json_unconst(object));
        else if (error != -ENOENT) {
                f->complete = false;
                if (old)
                        json_object_set(json_object_get(f->resources, item->kind), item->name,
                                        json_unconst(old));
        }
        if (--f->pending == 0)
                finish(f);
}

int fetch_start(struct fetch **ret, struct api_client *api, const char *ns,
                const json_t *references, const json_t *old, fetch_done_func done, void *userdata) {
        static const char *const kinds[] = {"configmaps", "secrets"};
        struct fetch *f = calloc(1, sizeof(*f));
        size_t n = 0;

        if (!f)
                return -ENOMEM;
        for (size_t k = 0; k < ELEMENTS(kinds); k++)
                n += json_object_size(json_at(references, kinds[k]));
        *f = (struct fetch){.complete = true, .done = done, .userdata = userdata};
        f->resources = json_pack("{s:{}, s:{}}", kinds[0], kinds[1]);
        f->old = json_incref(json_unconst(old));
        f->items = calloc(MAX(n, (size_t)1), sizeof(*f->items));
        if (!f->resources || !f->items) {
                fetch_free(f);
                return -ENOMEM;
        }
        for (size_t k = 0; k < ELEMENTS(kinds); k++) {
                const char *name;
                json_t *v;

                json_object_each (json_at(references, kinds[k]), name, v) {
                        struct fetch_item *item = &f->items[f->count++];
                        _cleanup_free_ char *path =
                                        api_path(api_resource_find(kinds[k]), ns, name, NULL, NULL);

                        *item = (struct fetch_item){
                                        .fetch = f, .kind = kinds[k], .name = strdup(name)};
                        if (!path || !item->name ||
                                        api_get_async(api, path, on_answer, item, &item->call) <
                                                        0) {
                                fetch_free(f);
                                return -ENOMEM;
                        }
                        f->pending++;
                }
        }
        assert(f->pending > 0);
        *ret = f;
        return 0;
}
