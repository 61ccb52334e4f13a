/* Shared by the files of this folder that are about caches. */
#pragma once

#include <bsd/sys/tree.h>

#include "kapid/cache/cache.h"
#include "lib/map.h"

/* Its members are in the order of how a walk reads them. */
struct slot {
        RB_ENTRY(slot) entry;
        uint64_t label_bits; /* of the item's labels (lib/selector.h) */
        struct item *item;
        struct posting *postings; /* at most one of each index */
};
RB_HEAD(slot_tree, slot);
RB_PROTOTYPE(slot_tree, slot, entry, slot_compare)

/* That a slot has a value: an index has them in the order of the values' hashes, those of one hash
 * in key order. */
struct posting {
        RB_ENTRY(posting) entry;
        struct slot *slot;
        struct posting *next; /* of the slot */
        uint32_t hash;
        uint8_t place; /* of its index */
};
RB_HEAD(posting_tree, posting);
RB_PROTOTYPE(posting_tree, posting, entry, posting_compare)

struct cache {
        struct caches *caches;
        char *prefix;
        struct slot_tree items;
        size_t count;
        struct index *indexes[CACHE_INDEXES_MAX]; /* each at its place */
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
        LIST_HEAD(, watched) watched; /* the fields that interests are about */
        size_t label_interests;
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
        uint64_t secret[2];  /* of the indexes' hashes */
        size_t postings;     /* of all indexes */
        uint64_t tend_us;    /* when they are looked at next */
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

/* The first slot whose path is at or behind the given one; strictly behind it when `behind`. */
struct slot *slot_from(const struct cache *c, const char *path, bool behind);
/* The first slot behind all whose path begins with the prefix; NULL: there is none. */
struct slot *slot_behind(const struct cache *c, const char *prefix);

/* Indexes (indexes.c). */
struct index;
/* The slot has a new item; before: the one it had, or NULL. -ENOMEM. */
int indexes_put(struct cache *c, struct slot *s, const struct item *before);
void indexes_remove(struct cache *c, struct slot *s);
/* The cache is about to be emptied; those that are kept stay, empty. */
void indexes_clear(struct cache *c);
void indexes_done(struct cache *c);
/* Drops what is no longer used, some at a time. */
void indexes_tend(struct caches *cs);
/* The whole index by the key; NULL: there is none. That it was used is noted. */
struct index *index_use(struct cache *c, const struct cache_key *key);
/* The same, but someone would walk less if there were one: it is made, at a bounded cost for each
 * call. */
struct index *index_ask(struct cache *c, const struct cache_key *key);
/* The hash of a value that terms ask for. */
uint32_t index_hash(const struct cache *c, const char *value);
/* The first posting of that hash that is at or behind the path, or of a later hash. */
const struct posting *index_from(
                const struct index *i, uint32_t hash, const char *path, bool behind);
/* Hashes that stand for no value: of items that may have any, and of those that have the label. */
enum { HASH_NONE, HASH_UNSURE, HASH_HAVING, HASH_FIRST };

/* Keys (keys.c). */
bool key_equal(const struct cache_key *a, const struct cache_key *b);

/* Followers (followers.c). */
int followers_init(struct cache *c);
void followers_done(struct cache *c);
/* The last change of the window is of this path. */
void followers_mark(struct cache *c, const char *path, const struct change *change);
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
