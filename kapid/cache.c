/* The caches and how they follow the store.
 *
 *      DOWN --connected--> LOADING --last page--> FOLLOWING --watch lost--> DOWN
 *        '--connected, loaded before--------------^   (compacted meanwhile: LOADING)
 *
 * LOADING reads every key below /registry/ in pages at one revision into a staging set and swaps it
 * in whole; FOLLOWING applies the watch from the revision after. While DOWN what is there is still
 * served to those who accept any age. A reload empties the windows and sends followers away: what
 * happened in between is not known, and a watch must have no gap. */
#include "kapid/cache.h"

#include <bsd/sys/tree.h>

#include "lib/log.h"
#include "lib/map.h"
#include "lib/timefmt.h"

enum { RETRY_US = 500 * 1000, WINDOW_START = 64 };

struct slot {
        RB_ENTRY(slot) entry;
        struct item *item;
};
RB_HEAD(slot_tree, slot);

struct cache {
        struct caches *caches;
        char *prefix;
        struct slot_tree items;
        size_t count;
        uint64_t changes;
        struct change *window; /* ring: number n stands at n % allocated */
        size_t window_allocated;
        uint64_t window_first, window_end;
        size_t window_bytes;
        uint64_t window_after; /* changes after this revision are all in the window */
        struct cache_follower *followers;
        struct cache_follower *calling; /* the next to call, kept right by cache_unfollow */
        bool dirty;
};

enum caches_state { CACHES_DOWN, CACHES_LOADING, CACHES_FOLLOWING };

struct wait {
        struct caches *caches;
        struct wait *next, *prev;
        uint64_t revision;
        uint64_t timeout_us;
        caches_func func;
        void *userdata;
        sd_event_source *timer;
};

struct caches {
        sd_event *event;
        struct store *store;
        struct caches_options options;
        struct item_pool *pool;
        struct map *by_prefix;
        enum caches_state state;
        bool loaded;
        uint64_t revision;
        sd_event_source *retry;
        /* loading */
        struct map *staging;        /* key -> item, in key order */
        struct map *staging_ranges; /* key -> value */
        uint64_t load_revision;
        bool load_pending;
        /* waiting */
        struct wait *waits;
        struct wait *asking; /* for the answer that is under way */
        struct wait *to_ask; /* came after it was sent */
        bool index_pending;
};

static int slot_compare(const struct slot *a, const struct slot *b) {
        return strcmp(item_key(a->item), item_key(b->item));
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_INTERNAL(slot_tree, slot, entry, slot_compare, static)
#pragma GCC diagnostic pop

/* --- one resource's cache --- */

static void change_done(struct change *c) {
        item_unref(c->before);
        item_unref(c->after);
        item_unref(c->gone);
        for (size_t i = 0; i < ELEMENTS(c->lines); i++)
                bytes_unref(c->lines[i]);
}

/* What a change keeps alive that the cache itself does not. */
static size_t change_bytes(const struct change *c) {
        return sizeof(*c) + (c->before ? item_text(c->before)->size : 0) +
               (c->gone ? item_text(c->gone)->size : 0);
}

static struct change *window_at(const struct cache *c, uint64_t number) {
        return &c->window[number % c->window_allocated];
}

static void window_drop_first(struct cache *c) {
        struct change *first = window_at(c, c->window_first);

        c->window_after = first->revision;
        c->window_bytes -= change_bytes(first);
        change_done(first);
        c->window_first++;
}

static void window_clear(struct cache *c, uint64_t revision) {
        while (c->window_first < c->window_end)
                window_drop_first(c);
        c->window_after = revision;
}

static struct slot *slot_free(struct slot *s) {
        item_unref(s->item);
        return mfree(s);
}

static void cache_clear(struct cache *c) {
        struct slot *s, *next;

        RB_FOREACH_SAFE(s, slot_tree, &c->items, next) {
                RB_REMOVE(slot_tree, &c->items, s);
                slot_free(s);
        }
        c->count = 0;
}

static void cache_free(void *p) {
        struct cache *c = p;

        while (c->followers)
                cache_unfollow(c->followers);
        window_clear(c, 0);
        cache_clear(c);
        free(c->window);
        free(c->prefix);
        free(c);
}

const char *cache_prefix(const struct cache *c) {
        return c->prefix;
}

size_t cache_count(const struct cache *c) {
        return c->count;
}

uint64_t cache_changes(const struct cache *c) {
        return c->changes;
}

/* The first slot whose path is at or behind the given one; strictly behind it when `behind`. */
static struct slot *slot_from(const struct cache *c, const char *path, bool behind) {
        struct slot *s = RB_ROOT(&c->items), *best = NULL;

        while (s) {
                int k = strcmp(item_path(s->item), path);

                if (k > 0 || (k == 0 && !behind)) {
                        best = s;
                        s = RB_LEFT(s, entry);
                } else {
                        s = RB_RIGHT(s, entry);
                }
        }
        return best;
}

struct item *cache_find(const struct cache *c, const char *path) {
        struct slot *s = slot_from(c, path, false);

        return s && streq(item_path(s->item), path) ? s->item : NULL;
}

struct item *cache_first(const struct cache *c, const char *from) {
        struct slot *s = slot_from(c, from, false);

        return s ? s->item : NULL;
}

struct item *cache_next(const struct cache *c, const struct item *it) {
        struct slot *s = slot_from(c, item_path(it), true);

        return s ? s->item : NULL;
}

uint64_t cache_window_first(const struct cache *c) {
        return c->window_first;
}

uint64_t cache_window_end(const struct cache *c) {
        return c->window_end;
}

int cache_window_after(const struct cache *c, uint64_t revision, uint64_t *ret) {
        uint64_t low = c->window_first, high = c->window_end;

        if (revision < c->window_after)
                return -ESTALE;
        while (low < high) {
                uint64_t middle = low + (high - low) / 2;

                if (window_at(c, middle)->revision > revision)
                        high = middle;
                else
                        low = middle + 1;
        }
        *ret = low;
        return 0;
}

struct change *cache_change(const struct cache *c, uint64_t number) {
        return number >= c->window_first && number < c->window_end ? window_at(c, number) : NULL;
}

void cache_follow(struct cache *c, struct cache_follower *f) {
        f->cache = c;
        f->prev = NULL;
        f->next = c->followers;
        if (f->next)
                f->next->prev = f;
        c->followers = f;
}

void cache_unfollow(struct cache_follower *f) {
        struct cache *c = f->cache;

        if (!c)
                return;
        if (c->calling == f)
                c->calling = f->next;
        if (f->prev)
                f->prev->next = f->next;
        else
                c->followers = f->next;
        if (f->next)
                f->next->prev = f->prev;
        f->cache = NULL;
}

static void call_followers(struct cache *c, bool lost) {
        struct cache_follower *f = c->followers;

        while (f) {
                c->calling = f->next;
                f->func(f, lost);
                f = c->calling;
        }
        c->calling = NULL;
}

static int window_reserve(struct cache *c) {
        size_t n = c->window_allocated ? c->window_allocated * 2 : WINDOW_START;
        struct change *window;

        if (c->window_end - c->window_first < c->window_allocated)
                return 0;
        if (n > CACHE_WINDOW_CHANGES_MAX) {
                window_drop_first(c);
                return 0;
        }
        window = calloc(n, sizeof(*window));
        if (!window)
                return -ENOMEM;
        for (uint64_t i = c->window_first; i < c->window_end; i++)
                window[i % n] = *window_at(c, i);
        free(c->window);
        c->window = window;
        c->window_allocated = n;
        return 0;
}

/* Takes the references in change. */
static int window_add(struct cache *c, const struct change *change) {
        int r = window_reserve(c);

        if (r < 0)
                return r;
        *window_at(c, c->window_end) = *change;
        c->window_end++;
        c->window_bytes += change_bytes(change);
        while (c->window_bytes > CACHE_WINDOW_BYTES_MAX && c->window_end - c->window_first > 1)
                window_drop_first(c);
        return 0;
}

/* Takes `after`; NULL: the object is deleted. */
static int cache_put(struct cache *c, const char *path, struct item *after, uint64_t revision) {
        struct slot *s = slot_from(c, path, false);
        struct change change = {.revision = revision};
        int r;

        if (s && !streq(item_path(s->item), path))
                s = NULL;
        if (!s && !after)
                return 0; /* something that was never ours to show */
        if (s && !after) {
                r = item_at_revision(s->item, revision, &change.gone);
                if (r < 0)
                        return r;
                RB_REMOVE(slot_tree, &c->items, s);
                change.before = TAKE_PTR(s->item);
                slot_free(s);
                c->count--;
        } else if (s) {
                change.before = s->item;
                s->item = after;
        } else {
                s = calloc(1, sizeof(*s));
                if (!s) {
                        item_unref(after);
                        return -ENOMEM;
                }
                s->item = after;
                RB_INSERT(slot_tree, &c->items, s);
                c->count++;
        }
        change.after = item_ref(after);
        c->changes++;
        c->dirty = true;
        r = window_add(c, &change);
        if (r < 0) {
                change_done(&change);
                return r;
        }
        if (c->caches->options.on_change)
                c->caches->options.on_change(
                                c, window_at(c, c->window_end - 1), c->caches->options.userdata);
        return 0;
}

/* --- all of them --- */

struct cache *caches_get(struct caches *cs, const char *prefix) {
        struct cache *c = map_get(cs->by_prefix, prefix);

        if (c)
                return c;
        c = calloc(1, sizeof(*c));
        if (!c)
                return NULL;
        c->caches = cs;
        RB_INIT(&c->items);
        c->prefix = strdup(prefix);
        c->window_after = cs->load_revision;
        if (!c->prefix || map_set(cs->by_prefix, prefix, c) < 0) {
                cache_free(c);
                return NULL;
        }
        return c;
}

struct cache *caches_at(const struct caches *cs, size_t i) {
        struct map_entry *e = map_first(cs->by_prefix);

        while (e && i-- > 0)
                e = map_next(e);
        return e ? map_entry_value(e) : NULL;
}

uint64_t caches_revision(const struct caches *c) {
        return c->revision;
}

bool caches_are_loaded(const struct caches *c) {
        return c->loaded;
}

bool caches_are_following(const struct caches *c) {
        return c->state == CACHES_FOLLOWING;
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
        return startswith(key, "/registry/ranges/");
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
        c = cache_of_key(cs, key, &prefix_size);
        if (!c)
                return -ENOMEM;
        if (value) {
                r = item_new(cs->pool, key, prefix_size, value, n, revision, &it);
                if (r == -EINVAL) {
                        log_warning("What the store has at %s is no JSON object of ours; "
                                    "it is left out",
                                        key);
                        return 0;
                }
                if (r < 0)
                        return r;
        }
        return cache_put(c, key + prefix_size, it, revision);
}

static struct wait *wait_free(struct wait *w) {
        sd_event_source_disable_unref(w->timer);
        return mfree(w);
}

static void wait_unlink(struct wait **list, struct wait *w) {
        if (w->prev)
                w->prev->next = w->next;
        else
                *list = w->next;
        if (w->next)
                w->next->prev = w->prev;
}

static void wait_link(struct wait **list, struct wait *w) {
        w->prev = NULL;
        w->next = *list;
        if (w->next)
                w->next->prev = w;
        *list = w;
}

static void wait_end(struct wait *w, int error) {
        caches_func func = w->func;
        void *userdata = w->userdata;

        wait_free(w);
        func(error, userdata);
}

/* Callers may start new waits from within: the due ones are taken out first. */
static void end_due_waits(struct caches *cs) {
        struct wait *due = NULL, *w = cs->waits;

        while (w) {
                struct wait *next = w->next;

                if (w->revision <= cs->revision) {
                        wait_unlink(&cs->waits, w);
                        wait_link(&due, w);
                }
                w = next;
        }
        while ((w = due)) {
                wait_unlink(&due, w);
                wait_end(w, 0);
        }
}

void caches_feed_done(struct caches *cs, uint64_t revision) {
        if (revision > cs->revision)
                cs->revision = revision;
        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                if (!c->dirty)
                        continue;
                c->dirty = false;
                call_followers(c, false);
        }
        end_due_waits(cs);
}

static int on_wait_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct wait *w = userdata;

        wait_unlink(&w->caches->waits, w);
        wait_end(w, -ETIMEDOUT);
        return 0;
}

static int wait_start(struct caches *cs, struct wait *w) {
        int r;

        if (w->revision <= cs->revision && cs->loaded) {
                wait_end(w, 0);
                return 0;
        }
        r = sd_event_add_time_relative(cs->event, &w->timer, CLOCK_MONOTONIC, w->timeout_us, 0,
                        on_wait_timeout, w);
        if (r < 0) {
                wait_end(w, r);
                return 0;
        }
        wait_link(&cs->waits, w);
        return 0;
}

static struct wait *wait_new(struct caches *cs, caches_func func, void *userdata) {
        struct wait *w = calloc(1, sizeof(*w));

        if (w)
                *w = (struct wait){.caches = cs, .func = func, .userdata = userdata};
        return w;
}

int caches_wait(struct caches *cs, uint64_t revision, uint64_t timeout_us, caches_func func,
                void *userdata) {
        struct wait *w = wait_new(cs, func, userdata);

        if (!w)
                return -ENOMEM;
        w->revision = revision;
        w->timeout_us = timeout_us;
        return wait_start(cs, w);
}

static void ask_index(struct caches *cs);

static void on_index(const struct store_result *res, void *userdata) {
        struct caches *cs = userdata;
        struct wait *w, *list = cs->asking;

        cs->asking = NULL;
        cs->index_pending = false;
        if (cs->to_ask)
                ask_index(cs);
        while ((w = list)) {
                wait_unlink(&list, w);
                w->revision = res->revision;
                if (res->error)
                        wait_end(w, res->error);
                else
                        wait_start(cs, w);
        }
}

static void ask_index(struct caches *cs) {
        struct wait *w;
        int r;

        cs->asking = TAKE_PTR(cs->to_ask);
        cs->index_pending = true;
        r = cs->store ? store_read_index(cs->store, on_index, cs) : -EHOSTUNREACH;
        if (r >= 0)
                return;
        cs->index_pending = false;
        while ((w = cs->asking)) {
                wait_unlink(&cs->asking, w);
                wait_end(w, r);
        }
}

int caches_freshen(struct caches *cs, caches_func func, void *userdata) {
        struct wait *w = wait_new(cs, func, userdata);

        if (!w)
                return -ENOMEM;
        w->timeout_us = 3 * 1000 * 1000;
        wait_link(&cs->to_ask, w);
        /* A question that left before us may be answered with a revision from before us. */
        if (!cs->index_pending)
                ask_index(cs);
        return 0;
}

/* --- following the store --- */

static void begin(struct caches *cs);

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct caches *cs = userdata;

        cs->retry = sd_event_source_disable_unref(cs->retry);
        begin(cs);
        return 0;
}

static void go_down(struct caches *cs) {
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
                r = caches_feed(cs, kv->key, events[i].deleted ? NULL : kv->value, kv->size,
                                kv->revision);
                if (r < 0) {
                        log_warning_errno(
                                        r, "Could not follow %s; loading everything anew", kv->key);
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
                cs->state = CACHES_DOWN;
                load(cs);
                return;
        }
        go_down(cs);
}

static void follow(struct caches *cs) {
        int r = store_watch(
                        cs->store, &(struct store_watch_options){.start_revision = cs->revision + 1,
                                                   .on_events = on_events,
                                                   .on_lost = on_lost,
                                                   .userdata = cs});

        if (r < 0) {
                go_down(cs);
                return;
        }
        cs->state = CACHES_FOLLOWING;
}

static void *stolen(struct map *m, const char *key) {
        return map_steal(m, key);
}

/* Puts the staging set in place of what was there. */
static int swap_in(struct caches *cs) {
        if (cs->options.on_reset)
                cs->options.on_reset(cs->options.userdata);
        map_foreach (cs->by_prefix, e) {
                struct cache *c = map_entry_value(e);

                cache_clear(c);
                window_clear(c, cs->load_revision);
                c->changes++;
        }
        map_foreach (cs->staging, e) {
                struct slot *s = calloc(1, sizeof(*s));
                size_t prefix_size;
                struct cache *c = s ? cache_of_key(cs, map_entry_key(e), &prefix_size) : NULL;

                if (!c) {
                        free(s);
                        return -ENOMEM;
                }
                s->item = stolen(cs->staging, map_entry_key(e));
                RB_INSERT(slot_tree, &c->items, s);
                c->count++;
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
                log_warning_errno(r, "Could not take in what the store has");
                cs->loaded = false;
                go_down(cs);
                return;
        }
        log_info("Everything is loaded at revision %llu", (unsigned long long)cs->revision);
        follow(cs);
        if (cs->options.on_change)
                cs->options.on_change(NULL, NULL, cs->options.userdata);
        map_foreach (cs->by_prefix, e)
                call_followers(map_entry_value(e), true);
        end_due_waits(cs);
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
        r = item_new(cs->pool, kv->key, prefix_size, kv->value, kv->size, kv->revision, &it);
        if (r == -EINVAL) {
                log_warning("What the store has at %s is no JSON object of ours; it is left out",
                                kv->key);
                return 0;
        }
        return r < 0 ? r : map_set(cs->staging, kv->key, it);
}

static void load_page(struct caches *cs, const char *from);

static void on_page(const struct store_result *res, void *userdata) {
        struct caches *cs = userdata;

        cs->load_pending = false;
        if (cs->state != CACHES_LOADING)
                return;
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

/* The page behind a key; the first is named by the prefix itself, which is no key. */
static void load_page(struct caches *cs, const char *from) {
        /* The store's keys hold no control characters: \x01 goes behind the key and before all
         * others. */
        _cleanup_free_ char *key = strformat("%s\x01", from);
        int r = key ? 0 : -ENOMEM;

        if (r >= 0)
                r = store_range(cs->store,
                                &(struct store_range){.key = key,
                                                .end = "/registry0",
                                                .revision = cs->load_revision,
                                                .limit = CACHE_LOAD_PAGE},
                                on_page, cs);
        if (r < 0)
                go_down(cs);
        else
                cs->load_pending = true;
}

static void load(struct caches *cs) {
        map_clear(cs->staging);
        map_clear(cs->staging_ranges);
        if (cs->load_pending) { /* an old answer must not be taken for a new one */
                go_down(cs);
                return;
        }
        cs->state = CACHES_LOADING;
        cs->load_revision = 0;
        load_page(cs, "/registry/");
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
        cs->pool = item_pool_new(CACHE_TREES_MAX);
        cs->by_prefix = map_new(cache_free);
        cs->staging = map_new(item_free);
        cs->staging_ranges = map_new(free);
        if (!cs->pool || !cs->by_prefix || !cs->staging || !cs->staging_ranges)
                return -ENOMEM;
        *ret = TAKE_PTR(cs);
        return 0;
}

static void waits_free(struct wait *list) {
        while (list) {
                struct wait *next = list->next;

                wait_free(list);
                list = next;
        }
}

struct caches *caches_free(struct caches *cs) {
        if (!cs)
                return NULL;
        waits_free(cs->waits);
        waits_free(cs->asking);
        waits_free(cs->to_ask);
        sd_event_source_disable_unref(cs->retry);
        map_free(cs->staging);
        map_free(cs->staging_ranges);
        map_free(cs->by_prefix);
        item_pool_free(cs->pool);
        sd_event_unref(cs->event);
        return mfree(cs);
}
