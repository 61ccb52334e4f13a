/* The presence of kapids, after Kubernetes' lease endpoint reconciler. A kapid that is not ready
 * (its store has no leader or no space, say) does not renew its lease, and is taken for dead like
 * one that is. A machine that is off is noticed before its lease ends: the others cannot connect to
 * it (neighbours.c) and delete its key. One that lives all the same claims its key again, and they,
 * who have not reached it since, leave it to its lease. One that is alone has nobody to convince,
 * and asks nothing of the store. */
#include "kapid/presence.h"

#include "kapid/neighbours.h"
#include "lib/log.h"
#include "lib/map.h"
#include "lib/object.h"
#include "lib/timefmt.h"

#define SLICES_PREFIX "/registry/endpointslices/"

enum {
        LEASE_TTL_S = 3,
        TICK_US = 500 * 1000,
        /* A question that went to a leader which has died is not answered for long. */
        ASK_AGAIN_US = 1200 * 1000,
        TICK_ALONE_US = 2 * 1000 * 1000,
        /* A kapid that has just begun to follow the store has not seen all renewals. */
        SETTLE_US = 5 * 1000 * 1000,
};

struct presence {
        struct api *api;
        char *name; /* NULL: this kapid is not published */
        char *key;
        struct map *seen; /* names of those that live; the values mean nothing */
        sd_event_source *timer;
        int64_t lease; /* 0: none */
        uint64_t settled_us, asked_us;
        struct neighbours *neighbours;
        bool asking, writing, alone;
        bool asking_status, disk_full;
        struct store_guard guard; /* of the slice that is written */
        struct store_op op;
        char *slice_key, *text;
};

char *presence_name(const char *address) {
        char *name = strformat("kubernetes-%s", address);

        for (char *s = name; s && *s; s++)
                if (*s == '.' || *s == ':')
                        *s = '-';
        return name;
}

json_t *presence_correct(const json_t *slice, bool lives) {
        const json_t *endpoint = json_array_get(json_object_get(slice, "endpoints"), 0);
        json_t *copy, *conditions;

        if (!endpoint || json_bool_or(endpoint, "conditions.ready", true) == lives)
                return NULL;
        copy = json_tree_copy(slice);
        conditions = json_pack("{s:b}", "ready", lives);
        if (!copy || !conditions ||
                        json_object_set_new(json_array_get(json_object_get(copy, "endpoints"), 0),
                                        "conditions", conditions) < 0) {
                json_decref(copy);
                return NULL;
        }
        json_object_del(json_object_get(copy, "metadata"), "resourceVersion");
        return copy;
}

void presence_observe(struct presence *p, const char *key, const char *value) {
        const char *name = startswith(key, PRESENCE_PREFIX);

        if (!p || !name)
                return;
        if (!value && streq_ptr(name, p->name))
                p->lease = 0; /* another one took us for dead */
        if (!value)
                map_remove(p->seen, name);
        else if (map_set(p->seen, name, p) < 0)
                log_warning("Out of memory: the API server %s is taken for dead", name);
        if (p->timer && !p->asking)
                (void)sd_event_source_set_time_relative(p->timer, 0);
}

void presence_reset(struct presence *p) {
        if (p)
                map_clear(p->seen);
}

/* --- the slices --- */

static void on_written(const struct store_result *res, void *userdata) {
        struct presence *p = userdata;

        p->writing = false;
        p->text = mfree(p->text);
        p->slice_key = mfree(p->slice_key);
        if (res->error)
                log_debug_errno(res->error, "Cannot write an endpoint of default/kubernetes: %s",
                                res->message);
}

static int write_slice(struct presence *p, const struct item *it, json_t *slice) {
        int r;

        p->text = json_text(slice);
        p->slice_key = strdup(item_key(it));
        if (!p->text || !p->slice_key)
                return -ENOMEM;
        p->guard = (struct store_guard){.key = p->slice_key, .revision = item_revision(it)};
        p->op = (struct store_op){.key = p->slice_key, .value = p->text, .size = strlen(p->text)};
        r = store_txn(p->api->store,
                        &(struct store_txn){.guards = &p->guard,
                                        .guard_count = 1,
                                        .ops = &p->op,
                                        .op_count = 1},
                        on_written, p);
        if (r >= 0)
                p->writing = true;
        return r;
}

static bool is_ours(const json_t *slice) {
        return streq_ptr(object_label(slice, "kubernetes.io/service-name"), "kubernetes") &&
               streq_ptr(object_label(slice, "endpointslice.kubernetes.io/managed-by"), "kapid");
}

/* Of one that lives; its slice says where. */
static bool is_silent(struct presence *p, const char *name, const json_t *slice) {
        const json_t *endpoint = json_array_get(json_object_get(slice, "endpoints"), 0);
        const char *address = json_string_value(
                        json_array_get(json_object_get(endpoint, "addresses"), 0));
        int64_t port = json_int_or(json_array_get(json_object_get(slice, "ports"), 0), "port", 0);

        return address && port > 0 && port <= UINT16_MAX &&
               neighbours_ask(p->neighbours, name, address, (uint16_t)port, now_mono_us());
}

static void on_deleted(const struct store_result *res, void *userdata) {
        if (res->error)
                log_debug_errno(res->error, "Cannot delete the key of an API server: %s",
                                res->message);
}

/* Again at every tick until it is gone: a request that went to a leader which has died is lost. */
static void declare_dead(struct presence *p, const char *name) {
        _cleanup_free_ char *key = strformat(PRESENCE_PREFIX "%s", name);
        const struct store_op op = {.key = key};

        if (!key)
                return;
        log_debug("API server %s cannot be reached", name);
        (void)store_txn(p->api->store, &(struct store_txn){.ops = &op, .op_count = 1}, on_deleted,
                        p);
}

/* One write at a time: the next tick sees its effect. */
static void correct_slices(struct presence *p) {
        struct cache *c = caches_get(p->api->caches, SLICES_PREFIX);

        p->alone = true;
        for (struct item *it = c ? cache_first(c, "default/kubernetes-") : NULL; it;
                        it = cache_next(c, it)) {
                const char *name = startswith(item_path(it), "default/");
                _cleanup_json_ json_t *slice = NULL, *wanted = NULL;
                bool lives, own;

                if (!name || !startswith(name, "kubernetes-"))
                        return;
                own = p->name && streq(name, p->name);
                lives = own || map_get(p->seen, name);
                slice = item_object_once(it);
                if (!slice || !is_ours(slice))
                        continue;
                p->alone &= own;
                if (!own && !lives)
                        neighbours_forget(p->neighbours, name);
                else if (!own && is_silent(p, name, slice))
                        declare_dead(p, name);
                if (p->writing || (!lives && now_mono_us() < p->settled_us))
                        continue;
                wanted = presence_correct(slice, lives);
                if (!wanted)
                        continue;
                log_notice("API server %s %s", name, lives ? "lives" : "does not answer");
                if (write_slice(p, it, wanted) < 0) {
                        p->text = mfree(p->text);
                        p->slice_key = mfree(p->slice_key);
                        return;
                }
        }
}

/* --- the lease --- */

static void on_claimed(const struct store_result *res, void *userdata) {
        struct presence *p = userdata;

        p->asking = false;
        if (res->error)
                p->lease = 0;
}

static void on_granted(const struct store_result *res, void *userdata) {
        struct presence *p = userdata;
        const struct store_op op = {.key = p->key, .value = "", .lease = res->lease};

        p->asking = false;
        if (res->error)
                return;
        p->lease = res->lease;
        if (store_txn(p->api->store, &(struct store_txn){.ops = &op, .op_count = 1}, on_claimed,
                            p) < 0)
                p->lease = 0;
        else
                p->asking = true;
}

static void on_renewed(const struct store_result *res, void *userdata) {
        struct presence *p = userdata;

        p->asking = false;
        if (res->error || res->ttl_s <= 0)
                p->lease = 0;
}

static void renew(struct presence *p) {
        int r;

        if ((p->asking && now_mono_us() - p->asked_us < ASK_AGAIN_US) || !p->name || p->alone)
                return;
        p->asked_us = now_mono_us();
        r = p->lease ? store_lease_renew(p->api->store, p->lease, on_renewed, p)
                     : store_lease_grant(p->api->store, LEASE_TTL_S, on_granted, p);
        p->asking = r >= 0;
}

/* --- the store's disk --- */

static void on_status(const struct store_result *res, void *userdata) {
        struct presence *p = userdata;
        bool full = res->disk_full;

        p->asking_status = false;
        if (res->error || full == p->disk_full)
                return;
        p->disk_full = full;
        if (full)
                log_error("The disk of this machine's store is full: clients are sent to the other "
                          "API servers; make room on it (df -h /var/lib/keelson)");
        else
                log_notice("The disk of this machine's store has space again");
}

/* A member whose disk is full refuses every change, while the others take them. */
static void ask_status(struct presence *p) {
        if (p->asking_status || !p->name || p->alone)
                return;
        p->asking_status = store_status(p->api->store, on_status, p) >= 0;
}

bool presence_disk_full(const struct presence *p) {
        return p && p->disk_full && !p->alone;
}

bool presence_is_first(const struct presence *p) {
        if (!p || !p->name || p->alone)
                return true;
        map_foreach (p->seen, e)
                if (strcmp(map_entry_key(e), p->name) < 0)
                        return false;
        return true;
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata) {
        struct presence *p = userdata;
        const char *why;

        ask_status(p);
        if (!api_ready(p->api, &why))
                p->settled_us = now_mono_us() + SETTLE_US;
        else {
                correct_slices(p);
                renew(p);
        }
        (void)sd_event_source_set_time_relative(source, p->alone ? TICK_ALONE_US : TICK_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int presence_start(struct presence **ret, struct api *a) {
        _cleanup_(presence_freep) struct presence *p = calloc(1, sizeof(*p));
        int r;

        if (!p)
                return -ENOMEM;
        p->api = a;
        p->settled_us = now_mono_us() + SETTLE_US;
        p->seen = map_new(NULL);
        if (!p->seen || neighbours_new(&p->neighbours, a->event) < 0)
                return -ENOMEM;
        if (a->options.advertise_address && a->options.port > 0) {
                p->name = presence_name(a->options.advertise_address);
                p->key = p->name ? strformat(PRESENCE_PREFIX "%s", p->name) : NULL;
                if (!p->key)
                        return -ENOMEM;
        }
        r = sd_event_add_time_relative(a->event, &p->timer, CLOCK_MONOTONIC, 0, 50000, on_tick, p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(p);
        return 0;
}

struct presence *presence_free(struct presence *p) {
        if (!p)
                return NULL;
        sd_event_source_disable_unref(p->timer);
        map_free(p->seen);
        neighbours_free(p->neighbours);
        free(p->name);
        free(p->key);
        free(p->slice_key);
        free(p->text);
        return mfree(p);
}
