/* Everything that touches SQLite: the database of what was applied (docs/store-format.md). It may
 * be behind after a crash, never ahead or inconsistent: the write-ahead log (wal.h) brings it up to
 * date. Every row carries a checksum, and one sum is over all of them. A disk has one connection
 * that writes (used by one thread alone once that runs) and one that reads (event loop). Only the
 * files of this folder include sqlite3.h. */
#pragma once

#include "kstored/mvcc/row.h"
#include "kstored/wal/wal.h"
#include "lib/buf.h"
#include "lib/formats.h"
#include "lib/problem.h"
#include "lib/vector.h"

struct disk;

enum {
        DISK_FORMAT = FORMAT_STORE_DATABASE, /* PRAGMA user_version */
        DISK_APPLICATION_ID = 0x6b656c73, /* "kels" */
};

/* Small numbers kept by name. */
enum disk_number {
        DISK_CLUSTER_ID,
        DISK_MEMBER_ID,
        DISK_APPLIED, /* the tables hold the effects of the log up to here, no more, no less */
        DISK_APPLIED_TERM,
        DISK_REVISION,
        DISK_NEXT_SEQ,
        DISK_COMPACT_REV,
        DISK_LOG_BASE, /* a whole state came as of this entry: the log begins no earlier */
        DISK_LOG_BASE_TERM,
        DISK_CONFIG_INDEX,
        DISK_NUMBERS,
};

enum disk_table {
        DISK_LEASE,      /* value: TTL in seconds */
        DISK_MEMBER,     /* blob: keelsonpeer.MemberRecord */
        DISK_ALARM,      /* value: bit set of alarm types; id: the member */
        DISK_HEARD,      /* a member that was heard; value 0, of this one: not confirmed yet */
        DISK_TERM_START, /* id: the term; value: the index of its first entry */
        DISK_TABLES,
};

/* One small row that is put or, with remove, deleted. */
struct disk_op {
        enum disk_table table;
        bool remove;
        uint64_t id;
        int64_t value;
        struct bytes *blob;
};

/* The writes of one transaction. Zero is empty. */
struct disk_batch {
        uint64_t numbers[DISK_NUMBERS];
        uint32_t numbers_set; /* bit set */
        bool sync;            /* durable before disk_write() returns, not only with a checkpoint */
        VECTOR(struct row *) rows;
        size_t row_bytes;
        VECTOR(int64_t) dead; /* rows to remove, by seq */
        VECTOR(struct disk_op) ops;
};

static inline void disk_batch_number(struct disk_batch *b, enum disk_number n, uint64_t v) {
        b->numbers[n] = v;
        b->numbers_set |= 1u << n;
}
/* All take or add a reference; -ENOMEM. */
int disk_batch_row(struct disk_batch *b, struct row *row);
int disk_batch_dead(struct disk_batch *b, int64_t seq);
int disk_batch_op(
                struct disk_batch *b, const struct disk_op *op); /* takes a reference on the blob */
/* Puts more in behind b; more is empty after it. */
int disk_batch_merge(struct disk_batch *b, struct disk_batch *more);
bool disk_batch_empty(const struct disk_batch *b);
void disk_batch_clear(struct disk_batch *b);

/* Opens or makes the database in a folder and locks the folder against other processes. p says what
 * a user can do: in use, newer format, not kstored's, damaged, full, no permission. */
int disk_open(struct disk **ret, const char *folder, struct problem *p);
struct disk *disk_free(struct disk *d);
DEFINE_CLEANUP(struct disk *, disk_free);
bool disk_is_new(const struct disk *d); /* nothing was ever stored */
const char *disk_path(const struct disk *d);
unsigned disk_format(const struct disk *d); /* of a copy perhaps an older one */

/* Reading, on the event loop's thread. -EBADMSG: these are not the bytes that were written.
 * -EUCLEAN: SQLite finds it malformed, or the disk cannot read it. */
/* As of the last write; not to be asked while one is under way. */
uint64_t disk_number(const struct disk *d, enum disk_number n);
/* The row with this seq: 1, 0 when it is not there, or an error. */
int disk_read_row(struct disk *d, int64_t seq, struct row **ret);
/* The same without the bytes of its value, which costs the same for values of any size. */
int disk_read_head(struct disk *d, int64_t seq, struct row **ret);
/* The seq of the first row of at least this revision (INT64_MAX when none). */
int disk_find_rev(struct disk *d, int64_t rev, int64_t *ret_seq);
/* Rows from seq on, at most n; returns how many. */
int disk_scan_rows(struct disk *d, int64_t from_seq, size_t n, struct row **ret_rows);
/* Keeps one view open over several reads, which then cost less. */
void disk_read_begin(struct disk *d);
void disk_read_end(struct disk *d);

/* At start. Each row is given without its value and freed by the caller of row_unref(). */
int disk_load_keys(
                struct disk *d, int (*func)(const struct row *row, void *userdata), void *userdata);
int disk_load_ops(struct disk *d, int (*func)(const struct disk_op *op, void *userdata),
                void *userdata);
/* After both: whether they gave all that was ever written. 0 or -EBADMSG. */
int disk_check_loaded(const struct disk *d);

/* A database of format 1 held the log itself: 1 and its contents, 0 when it holds none (no longer).
 */
int disk_old_log(struct disk *d, struct wal_contents *ret);
int disk_drop_old_log(struct disk *d);

/* Writing, on whichever thread writes: one transaction, durable with the next checkpoint. -ENOSPC
 * when the disk is full (nothing was written), -EIO and the like when the disk fails. */
int disk_write(struct disk *d, const struct disk_batch *b);
/* The last error of the writing side in words. */
const char *disk_error_text(const struct disk *d);
int disk_vacuum(struct disk *d);
/* Bytes in SQLite's own log, which the next checkpoint brings into the database. Any thread. */
size_t disk_unsettled_bytes(const struct disk *d);
/* 1: all that was written is in the database, durably, and SQLite's log is empty; 0: a reader is in
 * the way. The writing thread. */
int disk_checkpoint(struct disk *d);
/* A consistent copy of the whole database into a new file, over a separate connection. Any one
 * thread. */
int disk_copy(struct disk *d, const char *to);

/* The same as mvcc_hash(), read from the table in its own order, over a separate connection. Any
 * one thread. Every row up to rev must be there, and those that compact_rev made needless must be
 * gone; -ESTALE when a later compaction has come, -ECANCELED when *stop was set. */
int disk_hash(struct disk *d, int64_t rev, int64_t compact_rev, const _Atomic bool *stop,
                uint32_t *ret);

/* The numbers that such a copy holds. -EUCLEAN, -EINVAL and the like with a message when this
 * program cannot use it. */
int disk_peek(const char *path, uint64_t numbers[static DISK_NUMBERS], struct problem *p);
/* Makes a copy of another member's database this member's own, durably, and puts it in place of
 * this one; its log base is what was applied. Crash-safe: either the old or the new is there.
 * Nothing else may use the disk meanwhile. Afterwards the copy's own file is gone; on an error
 * before the exchange this one is as it was, after it d can only be freed. */
int disk_adopt(struct disk *d, const char *path, uint64_t member_id);
/* Opens a copy that has no writer, whatever follows the database in the file, for reading only, and
 * checks it from end to end: pages, invariants, every row. p says what is wrong.
 */
int disk_open_copy(struct disk **ret, const char *path, struct problem *p);
/* Looks for damage, over a separate connection; any one thread. 0, -EBADMSG, or -ECANCELED when
 * *stop was set. Rows from *seq on, at most n, every byte of them; *seq becomes INT64_MAX at the
 * end. */
int disk_scrub(struct disk *d, int64_t *seq, size_t n);
/* SQLite's own check of its pages. -EBADMSG: they are damaged. -EUCLEAN: the disk did not give one
 * of them, which may be transient. */
int disk_check_pages(struct disk *d, const _Atomic bool *stop);

/* Identifies a database that may be in use: an error when it is not kstored's or unreadable. */
int disk_glance(const char *path, uint64_t *ret_cluster_id, int64_t *ret_revision);

struct disk_size {
        int64_t size;
        int64_t in_use;
};
/* As of the last write. */
struct disk_size disk_size(const struct disk *d);
