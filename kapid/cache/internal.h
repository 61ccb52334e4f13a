/* Shared by cache.c, caches.c, followers.c and freshness.c. */
#pragma once

#include <bsd/sys/tree.h>

#include "kapid/cache/cache.h"
#include "lib/map.h"

struct slot {
        RB_ENTRY(slot) entry;
        struct item *item;
        uint64_t label_bits;   /* of the item's labels (lib/selector.h) */
        struct bucket *bucket; /* of the index; NULL: it is in none */
        LIST_ENTRY(slot) same; /* in that bucket */
};
RB_HEAD(slot_tree, slot);

/* The slots whose items have one value. */
struct bucket {
        LIST_HEAD(, slot) slots;
        char value[];
};

struct cache {
        struct caches *caches;
        char *prefix;
        struct slot_tree items;
        size_t count;
        cache_value_func value_of; /* NULL: there is no index */
        const char *value_field;
        struct map *buckets;       /* value -> struct bucket */
        uint64_t changes;
        struct change *window; /* ring: number n stands at n % allocated */
        size_t window_allocated;
        uint64_t window_first, window_end;
        size_t window_bytes;
        uint64_t window_after; /* changes after this revision are all in the window */
        /* followers.c */
        LIST_HEAD(, cache_follower) followers; /* of everything */
        LIST_HEAD(, cache_follower) choosy;    /* those with an interest */
        TAILQ_HEAD(, cache_follower) due;      /* of them: what they want has changed */
        struct map *interests;
        struct cache_follower *calling; /* the next to call, kept right by cache_unfollow */
        bool dirty;
};

enum caches_state { CACHES_DOWN, CACHES_LOADING, CACHES_FOLLOWING };

/* A caller that waits for the caches to reach a revision. */
struct wait {
        struct caches *caches;
        LIST_ENTRY(wait) entry;
        uint64_t revision;
        uint64_t timeout_us;
        caches_func func;
        void *userdata;
        sd_event_source *timer;
};

LIST_HEAD(wait_list, wait);

struct caches {
        sd_event *event;
        struct store *store;
        struct caches_options options;
        struct item_pool *pool;
        struct map *by_prefix;
        size_t window_bytes; /* of all */
        enum caches_state state;
        bool loaded;
        bool live; /* the store has said that it watches for us */
        uint64_t revision;
        sd_event_source *retry;
        /* loading */
        struct map *staging;        /* key -> item, in key order */
        struct map *staging_ranges; /* key -> value */
        struct map *unreadable; /* key -> why (unreadable.c) */
        struct item *own[64];   /* at their revisions (own.c) */
        uint64_t load_revision;
        uint64_t load_target; /* the store's revision when loading began */
        bool load_pending;
        uint64_t lost_us; /* when following ended */
        /* waiting */
        struct wait_list waits;
        struct wait_list asking; /* for the answer that is under way */
        struct wait_list to_ask; /* for the next one: came after that was made, or in this turn */
        sd_event_source *ask_soon; /* makes it */
        bool index_pending;
        uint64_t asked_at; /* our revision when the question left: the store's was no less */
};

/* One resource's cache (cache.c). */
struct cache *cache_new(struct caches *cs, const char *prefix, uint64_t window_after);
void cache_free(void *c);
/* Forgets all objects and changes; the window begins after the revision. */
void cache_reset(struct cache *c, uint64_t revision);
/* Takes an item whose key is not there yet, without a change. */
int cache_insert(struct cache *c, struct item *it);
/* Takes `after`; NULL: the object is deleted. */
int cache_put(struct cache *c, const char *path, struct item *after, uint64_t revision);

/* Followers (followers.c). */
int followers_init(struct cache *c);
void followers_done(struct cache *c);
/* The last change of the window is of this path; before, after: its values of the index or NULL. */
void followers_mark(struct cache *c, const char *path, const char *before, const char *after);
void cache_call_followers(struct cache *c, bool lost);

/* Waiting for revisions (freshness.c). */
void freshness_end_due(struct caches *cs);
void freshness_done(struct caches *cs);
/* The value at the key is readable, or gone (unreadable.c). */
void unreadable_end(struct caches *cs, const char *key);
/* After everything was loaded. */
void unreadable_log(const struct caches *cs);
/* The store's history is not the one the caches were filled from (caches.c). */
void caches_reload(struct caches *cs);

/* own.c: the item that was made for this value when it was written; NULL: there is none. */
struct item *own_take(struct caches *cs, const char *key, const char *value, size_t n,
                uint64_t revision);
void own_clear(struct caches *cs);
