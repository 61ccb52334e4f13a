/* One change of one key: what the revision table holds. Immutable, shared by reference count. */
#pragma once

#include "lib/base.h"

struct row {
        uint32_t refs;
        uint32_t key_size;
        uint32_t value_size;
        int64_t seq; /* place in the table: dense, in order of revision */
        int64_t rev;
        int64_t create;
        int64_t version; /* 0: a deletion */
        int64_t lease;
        char data[]; /* key, then value */
};

struct row *row_new(const void *key, size_t key_size, const void *value, size_t value_size);
struct row *row_ref(struct row *r);
struct row *row_unref(struct row *r);
DEFINE_CLEANUP(struct row *, row_unref);
#define _cleanup_row_ _cleanup_(row_unrefp)

/* A number made of all it holds: the same on every machine. Sums of it say whether two sets of rows
 * are equal, in whatever order. */
uint64_t row_hash(const struct row *r, const void *key, const void *value);
/* A sum as clients get it. */
static inline uint32_t row_hash_fold(uint64_t sum) {
        return (uint32_t)(sum ^ sum >> 32);
}

static inline const char *row_value(const struct row *r) {
        return r->data + r->key_size;
}
static inline size_t row_bytes(const struct row *r) {
        return sizeof(*r) + r->key_size + r->value_size;
}
