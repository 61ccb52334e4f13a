/* Carrying a write out: reading, guarding, retrying, and the lease that Events hang on. */
#include "kapid/pipeline/write.h"

#include <inttypes.h>

#include "kapid/store/alloc.h"
#include "kapid/kinds/crds.h"
#include "kapid/cache/filled.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { EVENT_TTL_S = 3600, EVENT_LEASE_SHARE_S = 60 };

static void decide(struct write *w);

static struct write *write_free(struct write *w) {
        if (!w)
                return NULL;
        for (size_t i = 0; i < w->extra_count; i++) {
                free(w->extra[i].key);
                free(w->extra[i].value);
        }
        json_decref(w->object);
        json_decref(w->live);
        strv_free(w->warnings);
        free(w->namespace);
        free(w->name);
        free(w->key);
        free(w->text);
        kind_unref(w->kind);
        request_unref(w->r);
        return mfree(w);
}

static void finish(struct write *w, const struct problem *p) {
        w->done(w, p);
        write_free(w);
}

static void fail(struct write *w, int error) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, abs(error), 500, "InternalError", "Internal error occurred: %s",
                        strerror(abs(error)));
        finish(w, &p);
}

static void fail_store(struct write *w, const struct store_result *res) {
        _cleanup_problem_ struct problem p = {0};

        store_problem(res, &p);
        finish(w, &p);
}

static void fail_start(struct write *w, int error) {
        fail_store(w, &(struct store_result){.error = error, .message = strerror(abs(error))});
}

int write_rename(struct write *w, const char *name) {
        char *copy = strdup(name), *key = kind_store_key(w->kind, w->namespace, name);

        if (!copy || !key) {
                free(copy);
                free(key);
                return -ENOMEM;
        }
        free(w->name);
        free(w->key);
        w->name = copy;
        w->key = key;
        w->revision = 0;
        return 0;
}

int write_add_extra(struct write *w, const char *key, const char *value, bool claim) {
        struct write_extra *x = &w->extra[w->extra_count];

        if (w->extra_count == WRITE_EXTRA_MAX)
                return -E2BIG;
        x->key = strdup(key);
        x->value = value ? strdup(value) : NULL;
        x->claim = claim;
        w->extra_count++;
        return x->key && (x->value || !value) ? 0 : -ENOMEM;
}

static void clear_decision(struct write *w) {
        for (size_t i = 0; i < w->extra_count; i++) {
                free(w->extra[i].key);
                free(w->extra[i].value);
        }
        w->extra_count = 0;
        json_decref(w->object);
        w->object = NULL;
        w->warnings = strv_free(w->warnings);
        w->text = mfree(w->text);
}

/* Takes what the store has at our key as the live object. */
static int take_live(struct write *w, const struct store_kv *kv) {
        _cleanup_item_ struct item *it = NULL;
        _cleanup_json_ json_t *stored = NULL;
        int r;

        json_decref(w->live);
        w->live = NULL;
        w->revision = 0;
        w->fresh = true;
        if (!kv)
                return 0;
        r = item_new(caches_pool(w->r->api->caches), kv->key, strlen(w->kind->storage_prefix),
                        kv->value, kv->size, kv->revision, &it);
        if (r < 0)
                return r;
        if (item_for_kind(it, w->kind))
                stored = item_object(item_for_kind(it, w->kind));
        if (!stored)
                return -ENOMEM;
        w->live = streq(object_api_version(stored), w->kind->api_version) ? json_incref(stored)
                                                                          : json_deep_copy(stored);
        if (!w->live)
                return -ENOMEM;
        w->revision = kv->revision;
        return streq(object_api_version(stored), w->kind->api_version)
                               ? 0
                               : kind_convert(w->kind, w->live);
}

static void on_read(const struct store_result *res, void *userdata) {
        struct write *w = userdata;
        int r;

        if (res->error) {
                fail_store(w, res);
                return;
        }
        r = take_live(w, res->count > 0 ? &res->kvs[0] : NULL);
        if (r < 0)
                fail(w, r);
        else
                decide(w);
}

static void read_store(struct write *w) {
        int r = store_range(w->r->api->store, &(struct store_range){.key = w->key}, on_read, w);

        if (r < 0)
                fail_start(w, r);
}

static void on_txn(const struct store_result *res, void *userdata) {
        struct write *w = userdata;
        const struct store_kv *mine = NULL;
        _cleanup_problem_ struct problem p = {0};
        char number[24];
        int r;

        if (res->error) {
                fail_store(w, res);
                return;
        }
        if (res->succeeded) {
                snprintf(number, sizeof(number), "%" PRIu64, res->revision);
                if (w->object && json_set_str(w->object, "metadata.resourceVersion", number) < 0) {
                        fail(w, ENOMEM);
                        return;
                }
                if (w->act == WRITE_PUT && streq(w->kind->storage_prefix, crd_prefix))
                        crds_stored(w->r->api, w->object);
                finish(w, NULL);
                return;
        }
        for (size_t i = 0; i < res->count; i++) {
                if (streq(res->kvs[i].key, w->key))
                        mine = &res->kvs[i];
                else
                        alloc_observe(w->r->api->alloc, res->kvs[i].key, res->kvs[i].value,
                                        res->kvs[i].size);
        }
        if (++w->attempts >= WRITE_ATTEMPTS_MAX ||
                        (w->no_retry && (mine ? mine->revision : 0) != w->revision)) {
                problem_conflict(&p, w->kind, w->name, NULL);
                finish(w, &p);
                return;
        }
        r = take_live(w, mine);
        if (r < 0)
                fail(w, r);
        else
                decide(w);
}

/* The object as it is stored: in the storage version, without its resourceVersion. */
static int make_text(struct write *w) {
        _cleanup_json_ json_t *copy = json_copy(w->object), *metadata = NULL;
        const char *group = w->kind->group;
        _cleanup_free_ char *api_version =
                        isempty(group) ? strdup(w->kind->storage_version)
                                       : strformat("%s/%s", group, w->kind->storage_version);

        metadata = json_copy(json_object_get(w->object, "metadata"));
        if (!copy || !metadata || !api_version)
                return -ENOMEM;
        json_object_del(metadata, "resourceVersion");
        if (json_object_set(copy, "metadata", metadata) < 0)
                return -ENOMEM;
        if (!streq(w->kind->version, w->kind->storage_version)) {
                const struct kind *stored = kind_registry_find(
                                w->r->api->kinds, group, w->kind->storage_version, w->kind->plural);
                json_t *deep = json_deep_copy(copy);

                json_decref(copy);
                copy = deep;
                if (!copy || (stored && kind_convert(stored, copy) < 0) ||
                                json_set_str(copy, "apiVersion", api_version) < 0)
                        return -ENOMEM;
        }
        w->text = json_text(copy);
        return w->text ? 0 : -ENOMEM;
}

static void run_txn(struct write *w) {
        struct store_guard guards[WRITE_EXTRA_MAX + 1] = {{.key = w->key, .revision = w->revision}};
        struct store_op ops[WRITE_EXTRA_MAX + 1];
        struct store_txn txn = {.guards = guards, .guard_count = 1, .ops = ops, .op_count = 1};
        int r = w->act == WRITE_PUT ? make_text(w) : 0;

        if (r < 0) {
                fail(w, r);
                return;
        }
        ops[0] = (struct store_op){.key = w->key,
                        .value = w->text,
                        .size = w->text ? strlen(w->text) : 0,
                        .lease = w->lease};
        for (size_t i = 0; i < w->extra_count; i++) {
                const struct write_extra *x = &w->extra[i];

                if (x->claim)
                        guards[txn.guard_count++] = (struct store_guard){.key = x->key};
                ops[txn.op_count++] = (struct store_op){.key = x->key,
                                .value = x->value,
                                .size = x->value ? strlen(x->value) : 0};
        }
        r = store_txn(w->r->api->store, &txn, on_txn, w);
        if (r < 0)
                fail_start(w, r);
}

static void on_lease(const struct store_result *res, void *userdata) {
        struct write *w = userdata;
        struct api *a = w->r->api;

        if (res->error) {
                fail_store(w, res);
                return;
        }
        a->event_lease = w->lease = res->lease;
        a->event_lease_until_us = now_mono_us() + EVENT_LEASE_SHARE_S * 1000000ULL;
        run_txn(w);
}

/* Events live for an hour; those of one minute share a lease. */
static void store_it(struct write *w) {
        struct api *a = w->r->api;
        int r;

        w->lease = 0;
        if (w->act != WRITE_PUT || !streq(w->kind->storage_prefix, "/registry/events/")) {
                run_txn(w);
                return;
        }
        if (a->event_lease && now_mono_us() < a->event_lease_until_us) {
                w->lease = a->event_lease;
                run_txn(w);
                return;
        }
        r = store_lease_grant(a->store, EVENT_TTL_S + EVENT_LEASE_SHARE_S, on_lease, w);
        if (r < 0)
                fail_start(w, r);
}

static void decide(struct write *w) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        clear_decision(w);
        w->created = !w->live;
        r = w->decide(w, w->live, &p);
        if (!w->fresh && (r < 0 || w->act == WRITE_NOTHING || w->r->dry_run)) {
                read_store(w);
                return;
        }
        if (r < 0) {
                if (!p.code)
                        problem_set(&p, abs(r), 500, "InternalError", "Internal error occurred: %s",
                                        strerror(abs(r)));
                finish(w, &p);
        } else if (w->act == WRITE_NOTHING || w->r->dry_run) {
                finish(w, NULL);
        } else {
                store_it(w);
        }
}

void write_start(struct request *r, const struct kind *k, const char *namespace, const char *name,
                bool create, write_decide decide_func, write_done done, void *userdata) {
        struct write *w = calloc(1, sizeof(*w));
        struct cache *c = caches_get(r->api->caches, k->storage_prefix);
        struct item *it;

        if (!w || !c) {
                free(w);
                respond_errno(r, ENOMEM);
                return;
        }
        w->r = request_ref(r);
        w->kind = kind_ref(k);
        w->decide = decide_func;
        w->done = done;
        w->userdata = userdata;
        w->create = create;
        w->namespace = strdup(strempty(namespace));
        if (!w->namespace || write_rename(w, name) < 0) {
                fail(w, ENOMEM);
                return;
        }
        if (create) {
                w->fresh = true; /* the guard says the rest */
                decide(w);
                return;
        }
        it = cache_find(c, w->key + strlen(k->storage_prefix));
        if (!it || r->dry_run) {
                read_store(w);
                return;
        }
        w->revision = item_revision(it);
        it = item_for_kind(it, k);
        w->live = it ? item_object(it) : NULL;
        if (w->live && !streq(object_api_version(w->live), k->api_version)) {
                json_t *copy = json_deep_copy(w->live);

                json_decref(w->live);
                w->live = copy;
                if (copy && kind_convert(k, copy) < 0) {
                        fail(w, ENOMEM);
                        return;
                }
        }
        if (w->live)
                decide(w);
        else
                fail(w, ENOMEM);
}

void write_respond(struct write *w, const struct problem *p) {
        struct request *r = w->r;

        if (p) {
                respond_problem(r, p);
                return;
        }
        request_warn_all(r, w->warnings);
        if (r->sub && streq(r->sub->name, "scale")) {
                _cleanup_json_ json_t *scale = machine_scale_get(w->kind, w->object);

                if (scale)
                        respond_json(r, 200, scale);
                else
                        respond_errno(r, ENOMEM);
                return;
        }
        respond_object(r, w->created ? 201 : 200, w->object);
}
