/* The index from keys to their revisions, in memory: keys in order, each with where its changes lie
 * in the revision table. Rebuilt at start by index_add() over the table. */
#pragma once

#include "lib/base.h"

/* Where one change lies. */
struct place {
        int64_t rev;
        int64_t seq_dead; /* seq * 2, plus 1 for a deletion */
};

static inline int64_t place_seq(const struct place *p) {
        return p->seq_dead >> 1;
}
static inline bool place_dead(const struct place *p) {
        return p->seq_dead & 1;
}

enum { INDEX_KEY_SIZE_MAX = (1 << 24) - 1, INDEX_PLACE_BITS = 48 };

struct more;

/* A key: the place of its newest change, and the rest of its history, if there is any. With a
 * million keys these are most of the memory of the store. */
struct index_item {
        uint64_t rev : INDEX_PLACE_BITS, key_low : 16;
        uint64_t seq_dead : INDEX_PLACE_BITS, key_high : 16;
        struct more *more;
        char key[];
};

static inline size_t index_item_key_size(const struct index_item *it) {
        return (size_t)it->key_high << 16 | it->key_low;
}
static inline int64_t index_item_seq(const struct index_item *it) {
        return (int64_t)(it->seq_dead >> 1);
}
struct place index_item_newest(const struct index_item *it);
/* The revision of the newest change; 0 when that is a deletion. */
int64_t index_item_create(const struct index_item *it);
int64_t index_item_version(const struct index_item *it);
int64_t index_item_lease(const struct index_item *it);

struct index;
int index_new(struct index **ret);
struct index *index_free(struct index *x);
DEFINE_CLEANUP(struct index *, index_free);
size_t index_count(const struct index *x);

struct index_item *index_get(struct index *x, const void *key, size_t n);
/* Records a change of a key (version 0: deletion); places must come in order. 0, -ENOMEM, or
 * -ERANGE above INDEX_PLACE_BITS, with nothing changed. */
int index_add(struct index *x, const void *key, size_t n, struct place place, int64_t create,
                int64_t version, int64_t lease);
/* The change of the item that counts at rev, which may be a deletion; false when there is none. */
bool index_item_at(const struct index_item *it, int64_t rev, struct place *ret);
/* The same among the changes below a seq: a revision may have several. */
bool index_item_at_seq(
                const struct index_item *it, int64_t rev, int64_t below_seq, struct place *ret);
/* The change before the one at exactly rev, false when gone. */
bool index_item_before(const struct index_item *it, int64_t rev, struct place *ret);

/* A cursor; any change of the index ends it. */
struct index_cursor {
        const struct index *index;
        size_t leaf, slot;
};
/* At the first key not below the given one. */
void index_seek(struct index *x, const void *key, size_t n, struct index_cursor *ret);
struct index_item *index_cursor_item(const struct index_cursor *c); /* NULL at the end */
void index_cursor_next(struct index_cursor *c);

/* Deletes the changes that no reader at compact_rev or later can see, for up to `items` keys from
 * the given one on. The function gets the seq of each one. Returns 1 with the key to continue from
 * in ret_next (owned by the caller), or 0 at the end. */
int index_compact(struct index *x, int64_t compact_rev, const void *from, size_t from_size,
                size_t items, void (*dropped)(int64_t seq, void *userdata), void *userdata,
                char **ret_next, size_t *ret_next_size);

int key_compare(const void *a, size_t na, const void *b, size_t nb);
