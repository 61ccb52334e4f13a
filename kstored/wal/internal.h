/* Shared by wal.c and open.c. */
#pragma once

#include <stdatomic.h>

#include "kstored/wal/block.h"
#include "kstored/wal/wal.h"
#include "lib/vector.h"

#define WAL_MARK_NAME "mark"
#define WAL_SPARE_PREFIX "spare-"

enum {
        WAL_SEGMENT_BYTES = 16 * 1024 * 1024,
        WAL_STEP_BYTES = 1024 * 1024,
        WAL_SPARES_MAX = 4, /* old segments that are kept for reuse */
        WAL_NAME_SIZE = 24,
};

struct wal_segment {
        uint64_t number;     /* of its first block, and its name */
        uint64_t last_index; /* no entry in it or before it has a higher one */
};

struct wal {
        struct wal_options options;
        VECTOR(struct wal_segment) segments; /* in order; the last one is being written */
        char spares[WAL_SPARES_MAX][WAL_NAME_SIZE];
        size_t spare_count;
        struct wal_file *file; /* of the last segment */
        uint64_t salt;
        uint64_t at, size; /* where the next block goes; bytes that are there to be overwritten */

        uint64_t number, before; /* of the newest block */
        uint64_t synced;
        uint64_t term, vote;
        uint64_t last_index, last_term;

        struct wal_file *mark;
        _Atomic bool mark_moved;
        struct buf block;
};

int wal_new(struct wal **ret, const struct wal_options *o);
void wal_segment_name(char name[static WAL_NAME_SIZE], uint64_t number);
bool wal_segment_number(const char *name, uint64_t *ret);
int wal_segment_add(struct wal *w, uint64_t number, uint64_t last_index);
/* The mark moves to the newest block. */
int wal_move_mark(struct wal *w);
