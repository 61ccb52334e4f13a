/* The bytes of the write-ahead log (docs/store-format.md): segments begin with a head, then come
 * blocks, each a batch of records that was written and synced at once. Pure. */
#pragma once

#include "kstored/raft/raft.h"
#include "lib/buf.h"
#include "lib/formats.h"

enum {
        WAL_PAGE = 4096, /* head and blocks begin on a page: synced bytes are not written again */
        WAL_FORMAT = FORMAT_STORE_LOG,
        WAL_PAYLOAD_MAX = 1024 * 1024 * 1024,
};

/* All that a reader without the earlier segments must know. */
struct wal_head {
        uint64_t salt;   /* begins the checksums of this segment's blocks; no client knows it */
        uint64_t number; /* of the first block */
        uint64_t before; /* checksum of the block before it */
        uint64_t synced; /* newest block that was durable when this was written */
        uint64_t member_id;
        uint64_t term, vote;
        uint64_t base_index, base_term; /* the log's last entry before this segment */
};

struct wal_block {
        uint64_t sum;
        uint64_t number; /* 1, 2, 3 ...: the log has no gaps */
        uint64_t before, synced;
        const uint8_t *payload; /* points into what was read */
        size_t size;            /* of the payload */
        size_t pages_size;      /* of the whole block with its padding */
};

enum wal_record_kind {
        WAL_STATE = 1, /* a: term, b: vote */
        WAL_END = 2,   /* the log ends at the entry with index a and term b now */
        WAL_ENTRY = 3, /* index a, term b */
};

struct wal_record {
        enum wal_record_kind kind;
        uint32_t type; /* of an entry */
        uint64_t a, b;
        const uint8_t *data;
        size_t size;
};

void wal_head_encode(const struct wal_head *h, uint8_t page[static WAL_PAGE]);
bool wal_head_decode(const uint8_t page[static WAL_PAGE], struct wal_head *ret);
/* The format of a whole head that a newer program wrote; 0: it is none. */
uint64_t wal_head_newer(const uint8_t page[static WAL_PAGE]);

/* Building a block behind what b holds. Allocation failures stay in b. */
void wal_block_begin(struct buf *b);
void wal_block_add(struct buf *b, enum wal_record_kind kind, uint64_t a_value, uint64_t b_value);
void wal_block_add_entry(struct buf *b, const struct raft_entry *e);
/* Pads the block that begins at `from` and sets its header. x: number, before and synced are given,
 * the rest is filled in. -ENOMEM, -EFBIG. */
int wal_block_end(struct buf *b, size_t from, uint64_t salt, struct wal_block *x);

/* Whether a whole block stands at the beginning of n bytes. */
bool wal_block_read(const uint8_t *data, size_t n, uint64_t salt, struct wal_block *ret);
/* The record at *at of a block's payload: 1 and moves on, 0 at the end, -EBADMSG. */
int wal_record_next(const struct wal_block *b, size_t *at, struct wal_record *ret);

/* The mark: how far the log reaches for certain. Two slots, used in turn. */
struct wal_mark {
        uint64_t member_id;
        uint64_t number, sum; /* the newest block that was synced */
};
enum { WAL_MARK_SLOTS = 2 };
void wal_mark_encode(const struct wal_mark *m, uint8_t page[static WAL_PAGE]);
bool wal_mark_decode(const uint8_t page[static WAL_PAGE], struct wal_mark *ret);
