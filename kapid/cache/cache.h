/* The watch cache: every stored object in memory, kept up by one watch of the store, with a window
 * of past changes per resource so that watches resume. All caches stand at one revision, because
 * they are fed by one stream: a list of any resource can be as fresh as the store's newest
 * revision. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "kapid/cache/item.h"
#include "kapid/store/store.h"

struct caches;
struct cache;

/* One change of one object. before NULL: it was created; after NULL: it was deleted, and gone is
 * its last state with the deletion's revision, made when a watch asks for it. */
struct change {
        uint64_t revision;
        struct item *before;
        struct item *after;
        struct item *gone;
        uint64_t seen_us; /* monotonic */
        /* The watch's: filled in as they are asked for (watch.c), as JSON and as protobuf. */
        struct bytes *lines[2][3];
        size_t bytes; /* that it keeps alive and the cache itself does not */
};

/* Bounds of a resource's window of changes: number, size, and an age for all beyond a few hundred.
 * Bookmarks give watchers a newer place every minute. */
enum {
        CACHE_WINDOW_CHANGES_OLD = 256,
        CACHE_WINDOW_AGE_US = 10 * 60 * 1000 * 1000,
        CACHE_WINDOW_CHANGES_MAX = 8192,
        CACHE_WINDOW_BYTES_MAX = 16 * 1024 * 1024,
        CACHE_WINDOWS_BYTES_MAX = 32 * 1024 * 1024, /* of all resources together */
        CACHE_TREES_BYTES_MAX = 8 * 1024 * 1024,
        CACHE_LOAD_PAGE = 500,
};

struct caches_options {
        /* After each change was put in; change NULL: everything was reloaded. */
        void (*on_change)(struct cache *c, const struct change *change, void *userdata);
        /* Keys below /registry/ranges/ and /registry/kapids/: deleted when value is NULL. */
        void (*on_range)(const char *key, const char *value, size_t n, void *userdata);
        /* Before everything is reloaded: discard everything that on_range reported. */
        void (*on_reset)(void *userdata);
        void *userdata;
};

int caches_new(struct caches **ret, sd_event *event, const struct caches_options *o);
struct caches *caches_free(struct caches *c);
DEFINE_CLEANUP(struct caches *, caches_free);
/* Starts loading and following; the store must outlive the caches. */
void caches_follow(struct caches *c, struct store *s);
/* To be called when the store's connection comes or goes. */
void caches_on_store(struct caches *c, bool connected);
/* Whether everything was loaded once. */
bool caches_are_loaded(const struct caches *c);
/* Whether the watch is live: what the cache has is at most moments old. */
bool caches_are_following(const struct caches *c);
/* Whether they follow the store, and have reached what it had when they were loaded; a watch that
 * broke has a moment to be made again. */
bool caches_are_current(const struct caches *c);
uint64_t caches_revision(const struct caches *c);
struct item_pool *caches_pool(struct caches *c);
/* The store has taken this item's value at its revision: when the watch brings it, the caches keep
 * the same item. */
void caches_wrote(struct caches *c, struct item *it);
/* Values that the store has and no key opens: they are in no cache, or there as they were before.
 * Borrowed until the next change: why the value at this key is one of them; NULL: it is not. */
const char *caches_unreadable(const struct caches *c, const char *key);
/* The first of those whose key begins with the prefix and is behind `after` ("": the first); its
 * key, and why. NULL: no further one. */
const char *caches_unreadable_after(const struct caches *c, const char *prefix, const char *after,
                const char **ret_why);
size_t caches_unreadable_count(const struct caches *c);
/* Bytes that the windows keep alive. */
size_t caches_window_bytes(const struct caches *c);

/* The cache of a storage prefix ("/registry/pods/"); made empty when there is none yet. Lives as
 * long as the caches. NULL when out of memory. */
struct cache *caches_get(struct caches *c, const char *prefix);

typedef void (*caches_func)(int error, void *userdata);
/* Calls func once: with 0 as soon as the caches are at the revision, or -ETIMEDOUT. At once when
 * they are there already. */
int caches_wait(struct caches *c, uint64_t revision, uint64_t timeout_us, caches_func func,
                void *userdata);
/* Asks the store for its revision (many callers share one question), then waits for it. Errors as
 * in store_result. */
int caches_freshen(struct caches *c, caches_func func, void *userdata);

const char *cache_prefix(const struct cache *c);
size_t cache_count(const struct cache *c);
/* Grows with every change. */
uint64_t cache_changes(const struct cache *c);
/* Borrowed until the next change; path is "namespace/name" or "name". */
struct item *cache_find(const struct cache *c, const char *path);
/* In key order: the first item whose path is >= from, then the next one. Borrowed; nothing may
 * change the cache in between. */
struct item *cache_first(const struct cache *c, const char *from);
struct item *cache_next(const struct cache *c, const struct item *it);

/* By what items are found. */
enum cache_by { CACHE_BY_LABEL, CACHE_HAVING_LABEL, CACHE_BY_FIELD };
struct cache_key {
        enum cache_by by;
        const char *name; /* the label's key, or the field ("spec.nodeName", "metadata.name") */
        /* Of fields: an item of another version may be shown with other values than its text has.
         * NULL: never. */
        const char *api_version;
        bool filled; /* nor is the text sure to have those that are shown */
};

/* What an item has for a key: a text, borrowed from the item or static. An absent field is "";
 * unsure: only the whole object says it. */
enum cache_held { HELD_NOTHING, HELD_TEXT, HELD_UNSURE };
enum cache_held cache_held(const struct cache_key *k, const struct item *it, const char **ret_text,
                size_t *ret_n);
/* Whether items without the field may be what a selector means by this value. */
bool cache_value_may_be_absent(const struct cache_key *k, const char *value);

/* Items have this value, or one of the values (NULL-terminated); with neither, the key asks for
 * none. All borrowed. */
struct cache_term {
        struct cache_key key;
        const char *value;
        char *const *values;
};

/* Bounds of the indexes: by how many keys one resource's items are indexed, and the entries of all
 * indexes of all resources together (64 bytes each). */
enum { CACHE_INDEXES_MAX = 12, CACHE_POSTINGS_MAX = 1000 * 1000, CACHE_RANGES_MAX = 16 };

/* A walk in key order over the items whose path begins with a prefix ("" for all, "ns/"; borrowed
 * until the walk's end) and is behind `after` (NULL: from the first), without looking at those
 * whose labels lack one of the bits (lib/selector.h; 0: none is left out). Its items are borrowed;
 * nothing may change the cache during the walk. */
struct slot;
struct posting;
struct cache_range {
        const struct posting *at; /* NULL: at its end */
        uint32_t hash;
};
struct cache_walk {
        const struct slot *at, *end;
        uint64_t label_bits;
        bool indexed; /* instead along these, of one index */
        const char *prefix;
        size_t prefix_size, range_count;
        struct cache_range ranges[CACHE_RANGES_MAX];
};
void cache_walk_begin(struct cache_walk *w, const struct cache *c, const char *prefix,
                const char *after, uint64_t label_bits);
/* Over the item with that path at most. */
void cache_walk_one(
                struct cache_walk *w, const struct cache *c, const char *path, const char *after);
/* The same walk, which may leave out items that do not meet all of the terms, and does where there
 * is an index by one of them. What is asked for again and again gets one (indexes.c). */
void cache_walk_terms(struct cache_walk *w, struct cache *c, const char *prefix, const char *after,
                uint64_t label_bits, const struct cache_term *terms, size_t n);
struct item *cache_walk_next(struct cache_walk *w);

/* An index for good; to be made before anything is in the cache. The key's texts are borrowed for
 * good. 0 or -ENOMEM. */
int cache_keep_index(struct cache *c, const struct cache_key *key);
/* Whether the cache has a whole index by the key. */
bool cache_is_indexed(const struct cache *c, const struct cache_key *key);
/* Entries of all indexes. */
size_t caches_postings(const struct caches *c);

/* The window: changes have numbers that grow by one. [first, end). */
uint64_t cache_window_first(const struct cache *c);
uint64_t cache_window_end(const struct cache *c);
/* Whether the cache is known to hold just what was stored at that revision. */
bool cache_is_at(const struct cache *c, uint64_t revision);
/* The number of the first change after the revision; -ESTALE when some are no longer in the window.
 */
int cache_window_after(const struct cache *c, uint64_t revision, uint64_t *ret);
/* After something was put into gone or lines. */
void cache_change_grew(struct cache *c, struct change *change, size_t n);
/* Borrowed; NULL outside of the window. */
struct change *cache_change(const struct cache *c, uint64_t number);

/* A follower of a cache: called after changes came in (many at a time), and with lost when the
 * cache was reloaded and its window is gone: then the follower must stop reading. One with an
 * interest is called only after changes that may be of it: the others in the window are not. */
struct cache_follower {
        void (*func)(struct cache_follower *f, bool lost);
        LIST_ENTRY(cache_follower) entry, same;
        struct cache *cache;       /* NULL: it follows none */
        struct interest *interest; /* NULL: everything */
        TAILQ_ENTRY(cache_follower) due_entry;
        bool due;       /* to be called */
        uint64_t first; /* the number of the change for which it was last called first */
};
/* What a follower wants to know of: one path, else the items in the namespace (NULL: in all) that
 * meet the terms. */
enum { CACHE_PATH_SIZE = 1024 };
struct cache_interest {
        const char *path, *namespace;
        const struct cache_term *terms;
        size_t term_count;
};
/* wanted NULL: everything. It may be called for more than it wants. */
void cache_follow(struct cache *c, struct cache_follower *f, const struct cache_interest *wanted);
/* For one with an interest that had seen the whole window: the number of the first change that may
 * concern it; the window's end when there is none. */
uint64_t cache_follower_next(const struct cache_follower *f);
/* Allowed within func, also for others than itself. Fine when it follows nothing. */
void cache_unfollow(struct cache_follower *f);

/* For tests: puts one change in as if the store had reported it. value NULL: deleted. */
int caches_feed(struct caches *c, const char *key, const char *value, size_t n, uint64_t revision);
/* A value that cannot be decrypted. */
int caches_feed_unreadable(struct caches *c, const char *key, const char *why);
void caches_feed_done(struct caches *c, uint64_t revision);
