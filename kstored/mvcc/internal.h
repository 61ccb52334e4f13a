/* Shared by mvcc.c and compact.c. */
#pragma once

#include "kstored/raft/bugs.h"
#include "kstored/mvcc/mvcc.h"
#include "lib/vector.h"

struct mvcc {
        struct row_source source;
        struct index *index;
        int64_t rev;
        int64_t compact_rev;
        int64_t next_seq;
        int64_t tail_first;
        int64_t flushed;
        struct row **tail; /* ring of tail_mask + 1 */
        int64_t tail_mask;
        size_t tail_bytes;
        bool in_txn;
        bool txn_changed;
        VECTOR(struct row *) changes;
        bool compacting;
        char *compact_next; /* NULL: from the first key */
        size_t compact_next_size;
};
