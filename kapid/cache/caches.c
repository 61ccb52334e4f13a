/* The caches and how they follow the store.
 *
 *      DOWN --connected--> LOADING --last page--> FOLLOWING --watch lost--> DOWN
 *        '--connected, loaded before--------------^   (compacted meanwhile: LOADING)
 *
 * LOADING reads every key below /registry/ in pages at one revision into a staging set and swaps it
 * in whole; FOLLOWING applies the watch from the revision after. The first load is of a revision
 * some time ago, where the store still has it: the changes since fill the windows, so that watches
 * which come from another kapid resume here. While DOWN the old contents are still served to
 * requests that accept any age. A reload empties the windows and ends all followers: the changes in
 * between are not known, and a watch must have no gap. */
#include "kapid/cache/internal.h"

#include "lib/log.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum {
        RETRY_US = 500 * 1000,
        LOST_MAX_US = 1500 * 1000,
        HISTORY_REVISIONS = 3000,
        HISTORY_REVISIONS_LESS = 300,
};

struct cache *caches_get(struct caches *cs, const char *prefix) {
        struct cache *c = map_get(cs->by_prefix, prefix);

        if (c)
                return c;
        c = cache_new(cs, prefix, cs->load_revision);
        if (c && map_set(cs->by_prefix, prefix, c) < 0) {
                cache_free(c);
                return NULL;
        }
        return c;
}

uint64_t caches_revision(const struct caches *c) {
        return c->revision;
}

bool caches_are_loaded(const struct caches *c) {
        return c->loaded;
}

bool caches_are_following(const struct caches *c) {
        return c->live;
}

bool caches_are_current(const struct caches *c) {
        return c->loaded && c->revision >= c->load_target &&
               (c->live || now_mono_us() - c->lost_us < LOST_MAX_US);
}

size_t caches_window_bytes(const struct caches *c) {
        return c->window_bytes;
}

struct item_pool *caches_pool(struct caches *c) {
        return c->pool;
}

/* How long the resource's part of a key is: "/registry/pods/" or "/registry/example.com/widgets/"
 * (groups of CRDs hold a dot, plurals never). 0: no object's key. */
static size_t prefix_size_of(const char *key) {
        const char *s = startswith(key, "/registry/"), *slash = s ? strchr(s, '/') : NULL;

        if (!slash)
                return 0;
        if (memchr(s, '.', (size_t)(slash - s))) {
                slash = strchr(slash + 1, '/');
                if (!slash)
                        return 0;
        }
        return slash[1] ? (size_t)(slash + 1 - key) : 0;
}

static bool is_range_key(const char *key) {
        return startswith(key, "/registry/ranges/") || startswith(key, "/registry/kapids/");
}

static struct cache *cache_of_key(struct caches *cs, const char *key, size_t *ret_prefix_size) {
        _cleanup_free_ char *prefix = NULL;
        size_t n = prefix_size_of(key);

        prefix = strndup(key, n);
        *ret_prefix_size = n;
        return prefix && n ? caches_get(cs, prefix) : NULL;
}

int caches_feed(struct caches *cs, const char *key, const char *value, size_t n,
                uint64_t revision) {
        struct item *it = NULL;
        size_t prefix_size;
        struct cache *c;
        int r;

        if (is_range_key(key)) {
                if (cs->options.on_range)
                        cs->options.on_range(key, value, n, cs->options.userdata);
                return 0;
        }
        if (!prefix_size_of(key))
                return 0;
        unreadable_end(cs, key);
        c = cache_of_key(cs, key, &prefix_size);
        if (!c)
                return -ENOMEM;
        if (value) {
                it = own_take(cs, key, value, n, revision);
                r = it ? 0 : item_new(cs->pool, key, prefix_size, value, n, revision, &it);
                if (r == -EINVAL) {
                        log_warning("The value at %s in the store is not a JSON object of kapid; "
                                    "ignoring it",
                                        key);
                        return 0;
                }
                if (r < 0)
                        return r;
        }
        return cache_put(c, key + prefix_size, it, revision);
}

void caches_feed_done(struct caches *cs, uint64_t revision) {
        bool was_behind = cs->revision < cs->load_target;

        assert(revision >= cs->revision); /* reading twice is on_events' to prevent */
        cs->revision = revision;
        if (was_behind && revision >= cs->load_target)
                unreadable_log(cs);
        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                if (!c->dirty)
                        continue;
                c->dirty = false;
                cache_call_followers(c, false);
        }
        indexes_tend(cs);
        freshness_end_due(cs);
}

/* --- following the store --- */

static void begin(struct caches *cs);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct caches *cs = userdata;

        cs->retry = sd_event_source_disable_unref(cs->retry);
        begin(cs);
        return 0;
}

/* A watch that the store refuses was never live: it is asked for again and again while the store
 * has no leader, and that time counts. */
static void end_live(struct caches *cs) {
        if (cs->live)
                cs->lost_us = now_mono_us();
        cs->live = false;
}

static void go_down(struct caches *cs) {
        end_live(cs);
        cs->state = CACHES_DOWN;
        map_clear(cs->staging);
        map_clear(cs->staging_ranges);
        if (cs->retry || !cs->store)
                return;
        if (sd_event_add_time_relative(
                            cs->event, &cs->retry, CLOCK_MONOTONIC, RETRY_US, 0, on_retry, cs) < 0)
                log_warning("Could not set a timer to follow the store again");
}

static void on_events(const struct store_event *events, size_t n, void *userdata) {
        struct caches *cs = userdata;
        uint64_t revision = cs->revision;

        for (size_t i = 0; i < n; i++) {
                const struct store_kv *kv = &events[i].kv;
                int r;

                if (kv->revision <= cs->revision) /* seen before the watch was made again */
                        continue;
                r = kv->unreadable ? caches_feed_unreadable(cs, kv->key, kv->unreadable)
                                   : caches_feed(cs, kv->key, events[i].deleted ? NULL : kv->value,
                                                     kv->size, kv->revision);
                if (r < 0) {
                        log_warning_errno(r, "Could not follow %s; reloading everything", kv->key);
                        cs->loaded = false;
                        go_down(cs);
                        return;
                }
                revision = kv->revision;
        }
        caches_feed_done(cs, revision);
}

static void load(struct caches *cs);

static void on_lost(int error, const char *message, void *userdata) {
        struct caches *cs = userdata;

        log_debug_errno(error, "The watch of the store ended: %s", message);
        if (error == -ESTALE) {
                end_live(cs);
                cs->state = CACHES_DOWN;
                load(cs);
                return;
        }
        go_down(cs);
}

static void on_watching(void *userdata) {
        struct caches *cs = userdata;

        cs->live = true;
}

static void follow(struct caches *cs) {
        int r = store_watch(
                        cs->store, &(struct store_watch_options){.start_revision = cs->revision + 1,
                                                   .on_watching = on_watching,
                                                   .on_events = on_events,
                                                   .on_lost = on_lost,
                                                   .userdata = cs});

        if (r < 0) {
                go_down(cs);
                return;
        }
        cs->state = CACHES_FOLLOWING;
}

/* Replaces the contents by the staging set. */
static int swap_in(struct caches *cs) {
        own_clear(cs);
        if (cs->options.on_reset)
                cs->options.on_reset(cs->options.userdata);
        map_foreach (cs->by_prefix, e) {
                cache_reset(map_entry_value(e), cs->load_revision);
        }
        map_foreach (cs->staging, e) {
                size_t prefix_size;
                struct cache *c = cache_of_key(cs, map_entry_key(e), &prefix_size);

                if (!c || cache_insert(c, map_entry_value(e)) < 0)
                        return -ENOMEM;
                (void)map_steal(cs->staging, map_entry_key(e));
        }
        map_foreach (cs->staging_ranges, e)
                if (cs->options.on_range)
                        cs->options.on_range(map_entry_key(e), map_entry_value(e),
                                        strlen(map_entry_value(e)), cs->options.userdata);
        map_clear(cs->staging);
        map_clear(cs->staging_ranges);
        cs->revision = cs->load_revision;
        cs->loaded = true;
        return 0;
}

static void loaded(struct caches *cs) {
        int r = swap_in(cs);

        if (r < 0) {
                log_warning_errno(r, "Cannot load the store's contents into the caches");
                cs->loaded = false;
                go_down(cs);
                return;
        }
        log_info("The caches are loaded at revision %llu", (unsigned long long)cs->revision);
        if (cs->revision >= cs->load_target)
                unreadable_log(cs);
        follow(cs);
        if (cs->options.on_change)
                cs->options.on_change(NULL, NULL, cs->options.userdata);
        map_foreach (cs->by_prefix, e)
                cache_call_followers(map_entry_value(e), true);
        freshness_end_due(cs);
}

static int stage(struct caches *cs, const struct store_kv *kv) {
        size_t prefix_size = prefix_size_of(kv->key);
        struct item *it;
        int r;

        if (is_range_key(kv->key)) {
                char *value = strndup(kv->value, kv->size);

                return value ? map_set(cs->staging_ranges, kv->key, value) : -ENOMEM;
        }
        if (!prefix_size)
                return 0;
        if (kv->unreadable)
                return caches_feed_unreadable(cs, kv->key, kv->unreadable);
        r = item_new(cs->pool, kv->key, prefix_size, kv->value, kv->size, kv->revision, &it);
        if (r == -EINVAL) {
                log_warning("The value at %s in the store is not a JSON object of kapid; ignoring "
                            "it",
                                kv->key);
                return 0;
        }
        return r < 0 ? r : map_set(cs->staging, kv->key, it);
}

static void load_page(struct caches *cs, const char *from);

static uint64_t revisions_back(const struct caches *cs, uint64_t n) {
        return cs->load_target > n ? cs->load_target - n : 1;
}

/* A newer one to try when the store no longer has this one; 0: the newest. */
static uint64_t history_after(const struct caches *cs) {
        uint64_t less = revisions_back(cs, HISTORY_REVISIONS_LESS);

        return cs->load_revision < less ? less : 0;
}

static void on_page(const struct store_result *res, void *userdata) {
        struct caches *cs = userdata;

        cs->load_pending = false;
        if (cs->state != CACHES_LOADING)
                return;
        if (res->error == -ESTALE && cs->load_revision < cs->load_target) {
                cs->load_revision = history_after(cs); /* that far back it is compacted */
                load_page(cs, "/registry/");
                return;
        }
        if (res->error) {
                log_debug_errno(res->error, "Could not load from the store: %s", res->message);
                go_down(cs);
                return;
        }
        if (!cs->load_revision)
                cs->load_revision = res->revision;
        for (size_t i = 0; i < res->count; i++)
                if (stage(cs, &res->kvs[i]) < 0) {
                        go_down(cs);
                        return;
                }
        if (res->more && res->count > 0) {
                load_page(cs, res->kvs[res->count - 1].key);
                return;
        }
        loaded(cs);
}

/* The page behind a key; the first is named by the prefix itself, which is not a key. */
static void load_page(struct caches *cs, const char *from) {
        /* The store's keys hold no control characters: \x01 sorts behind the key and before all
         * others. */
        _cleanup_free_ char *key = strformat("%s\x01", from);
        const struct store_range range = {.key = key,
                        .end = "/registry0",
                        .revision = cs->load_revision,
                        .limit = CACHE_LOAD_PAGE};

        assert(cs->state == CACHES_LOADING);
        assert(!cs->load_pending);
        cs->load_pending = true;
        if (key && store_range(cs->store, &range, on_page, cs) >= 0)
                return;
        cs->load_pending = false;
        go_down(cs);
}

static void on_newest(const struct store_result *res, void *userdata) {
        struct caches *cs = userdata;

        cs->load_pending = false;
        if (cs->state != CACHES_LOADING)
                return;
        if (res->error) {
                go_down(cs);
                return;
        }
        cs->load_target = res->revision;
        cs->load_revision = revisions_back(cs, HISTORY_REVISIONS);
        load_page(cs, "/registry/");
}

static void load(struct caches *cs) {
        map_clear(cs->staging);
        map_clear(cs->staging_ranges);
        map_clear(cs->unreadable);
        if (cs->load_pending) { /* an old answer must not be taken for a new one */
                go_down(cs);
                return;
        }
        cs->state = CACHES_LOADING;
        cs->load_revision = 0;
        if (cs->loaded) {
                load_page(cs, "/registry/");
                return;
        }
        cs->load_pending = true;
        if (store_read_index(cs->store, on_newest, cs) >= 0)
                return;
        cs->load_pending = false;
        go_down(cs);
}

void caches_reload(struct caches *cs) {
        if (cs->state != CACHES_FOLLOWING)
                return;
        log_warning("The store is at an earlier revision than before; reloading everything");
        end_live(cs);
        cs->state = CACHES_DOWN;
        load(cs);
}

static void begin(struct caches *cs) {
        if (cs->state != CACHES_DOWN || !cs->store || !store_is_connected(cs->store))
                return;
        cs->retry = sd_event_source_disable_unref(cs->retry);
        if (cs->loaded)
                follow(cs);
        else
                load(cs);
}

void caches_on_store(struct caches *cs, bool connected) {
        if (connected)
                begin(cs);
}

void caches_follow(struct caches *cs, struct store *s) {
        cs->store = s;
        begin(cs);
}

static void item_free(void *p) {
        item_unref(p);
}

int caches_new(struct caches **ret, sd_event *event, const struct caches_options *o) {
        _cleanup_(caches_freep) struct caches *cs = calloc(1, sizeof(*cs));

        if (!cs)
                return -ENOMEM;
        cs->event = sd_event_ref(event);
        cs->options = *o;
        random_bytes(cs->secret, sizeof(cs->secret));
        cs->pool = item_pool_new(CACHE_TREES_BYTES_MAX);
        cs->by_prefix = map_new(cache_free);
        cs->staging = map_new(item_free);
        cs->staging_ranges = map_new(free);
        cs->unreadable = map_new(free);
        if (!cs->pool || !cs->by_prefix || !cs->staging || !cs->staging_ranges || !cs->unreadable)
                return -ENOMEM;
        *ret = TAKE_PTR(cs);
        return 0;
}

struct caches *caches_free(struct caches *cs) {
        if (!cs)
                return NULL;
        freshness_done(cs);
        sd_event_source_disable_unref(cs->retry);
        map_free(cs->staging);
        map_free(cs->staging_ranges);
        map_free(cs->unreadable);
        map_free(cs->by_prefix);
        own_clear(cs);
        item_pool_free(cs->pool);
        sd_event_unref(cs->event);
        return mfree(cs);
}
