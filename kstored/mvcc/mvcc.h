/* Keys over time: the current revision, the changes in memory that are not in the table yet, and
 * reads at any revision that was not compacted away. Deterministic: members that apply the same
 * changes in the same order have the same revisions. No I/O of its own: older rows come through a
 * row_source. */
#pragma once

#include "kstored/mvcc/index.h"
#include "kstored/mvcc/row.h"

/* Where rows that are in the table are read. */
struct row_source {
        int (*read)(void *userdata, int64_t seq, struct row **ret); /* 1, 0, error */
        int (*find_rev)(void *userdata, int64_t rev, int64_t *ret_seq);
        int (*scan)(void *userdata, int64_t from_seq, size_t n, struct row **ret_rows);
        /* As read, but the bytes of the value need not be there; may be NULL. */
        int (*head)(void *userdata, int64_t seq, struct row **ret);
        void (*hold)(void *userdata, bool open); /* a view over several reads; may be NULL */
        void *userdata;
};

struct mvcc;

enum {
        MVCC_CACHE_BYTES = 8 * 1024 *
                           1024, /* newest rows kept in memory after they are in the table */
};

int mvcc_new(struct mvcc **ret, const struct row_source *source);
struct mvcc *mvcc_free(struct mvcc *m);
DEFINE_CLEANUP(struct mvcc *, mvcc_free);

/* At start: first the counters, then every row of the table in order (values are not needed). */
void mvcc_restore(struct mvcc *m, int64_t rev, int64_t next_seq, int64_t compact_rev);
int mvcc_restore_row(struct mvcc *m, const struct row *row);

int64_t mvcc_rev(const struct mvcc *m);
int64_t mvcc_next_seq(const struct mvcc *m);
int64_t mvcc_compact_rev(const struct mvcc *m);
size_t mvcc_key_count(const struct mvcc *m);

/* A write transaction: changes between begin and end share one revision, current + 1. Ending
 * without a change uses none. Inside, reads see what was changed before them. */
void mvcc_begin(struct mvcc *m);
/* Returns whether the revision rose. */
bool mvcc_end(struct mvcc *m);
/* Inside: the revision that reads are answered with. */
int64_t mvcc_txn_rev(const struct mvcc *m);
int mvcc_put(struct mvcc *m, const void *key, size_t key_size, const void *value, size_t value_size,
                int64_t lease);
/* 1 when the key was there, 0 when not. */
int mvcc_delete(struct mvcc *m, const void *key, size_t key_size);
/* Rows made since the last call, in order: the caller owns one reference on each. */
struct row **mvcc_take_changes(struct mvcc *m, size_t *ret_count);

/* Rows below this seq can be read from the source: they may leave memory. */
void mvcc_flushed(struct mvcc *m, int64_t below_seq);

/* The live key as of now, NULL when there is none. */
const struct index_item *mvcc_get(const struct mvcc *m, const void *key, size_t n);
/* A new reference on a row; -ENODATA when it is gone. */
int mvcc_row(struct mvcc *m, int64_t seq, struct row **ret);
/* The same without the value: its size is there, its bytes may be missing. */
int mvcc_head(struct mvcc *m, int64_t seq, struct row **ret);

/* [key, end): end_size 0 is the key alone; a single NUL byte means no upper bound. */
struct key_range {
        const char *key;
        size_t key_size;
        const char *end;
        size_t end_size;
};
bool key_in_range(const struct key_range *r, const void *key, size_t n);
bool key_range_is_single(const struct key_range *r);

/* The keys of a range in order, deleted ones included: from the first that is not below `from`
 * (NULL: from the range's own beginning). Any change of the store ends it. */
struct mvcc_walk {
        struct index_cursor cursor;
        struct key_range range;
};
void mvcc_walk_begin(struct mvcc *m, const struct key_range *range, const char *from,
                size_t from_size, struct mvcc_walk *ret);
const struct index_item *mvcc_walk_item(const struct mvcc_walk *w); /* NULL at the end */
void mvcc_walk_next(struct mvcc_walk *w);

struct mvcc_match {
        const struct index_item *item;
        struct place place;
};
/* Live keys of the range at rev, in key order; rev must not be compacted or in the future (the
 * caller checks). The array is the caller's; items live until the next change. -E2BIG when more
 * than walk_max keys, deleted ones among them, would have to be looked at. */
int mvcc_range(struct mvcc *m, const struct key_range *range, int64_t rev, size_t walk_max,
                struct mvcc_match **ret, size_t *ret_n);
/* Opens and closes one view for many mvcc_row() calls. */
void mvcc_hold(struct mvcc *m, bool open);

/* Rows with a revision in order from from_seq on, at most n, from table and memory; returns how
 * many. */
int mvcc_scan(struct mvcc *m, int64_t from_seq, size_t n, struct row **ret_rows);
/* The seq of the first row of at least this revision; next_seq when none. */
int mvcc_find_rev(struct mvcc *m, int64_t rev, int64_t *ret_seq);
/* The row of the key before this change, if any reader may still see it: 1, 0, error. */
int mvcc_previous(struct mvcc *m, const struct row *row, struct row **ret);

/* Sets the compaction revision (replicated); the deletion continues in mvcc_compact_step(). -ERANGE
 * when it is compacted already, -EOVERFLOW when it is in the future. */
int mvcc_compact(struct mvcc *m, int64_t rev);
/* One small batch: 1 when more remains, 0 when done. seqs to delete from the table go to the
 * function. */
int mvcc_compact_step(struct mvcc *m, size_t items, void (*dropped)(int64_t seq, void *userdata),
                void *userdata);
bool mvcc_compacting(const struct mvcc *m);

/* A hash over every row that is visible at some revision from compaction to rev: equal on members
 * with equal state, however far each has got with the deletion. Slow: see disk_hash(). */
int mvcc_hash(struct mvcc *m, int64_t rev, uint32_t *ret);
