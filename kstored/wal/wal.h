/* The write-ahead log of a member: what Raft saves, in segment files of its own
 * (docs/store-format.md). One block a batch, one write and one sync; blocks carry chained checksums
 * and a mark kept apart says how far the log reaches, so that damage is never taken for its end.
 * No thread or clock; used by one thread at a time, but for wal_sync_mark(). */
#pragma once

#include "kstored/raft/raft.h"
#include "kstored/wal/files.h"
#include "lib/problem.h"

struct wal;

struct wal_options {
        struct wal_folder files; /* borrowed */
        uint64_t member_id;
        uint64_t skip_to;     /* wal_open(): applied entries up to here are not kept in memory */
        uint64_t seed;        /* random and secret; of the segments' salts */
        size_t segment_bytes; /* a new segment is begun after this many; 0: the default */
        size_t step_bytes;    /* by which a new one grows ahead; 0: the default */
};

/* Where a log begins, or all that it holds. */
struct wal_contents {
        uint64_t term, vote;
        uint64_t base_index, base_term; /* the entry before the first */
        struct raft_entry **entries;
        size_t entry_count, entries_allocated;
};
/* Adds the entry that follows the last; takes it. -ENOMEM. */
int wal_contents_add(struct wal_contents *c, struct raft_entry *entry);
void wal_contents_done(struct wal_contents *c);

struct wal_batch {
        uint64_t term, vote;         /* written where they changed */
        uint64_t truncate_from;      /* entries from here on go first; 0: none */
        uint64_t truncate_term;      /* of the entry before it */
        struct raft_entry **entries; /* in order, without gaps */
        size_t entry_count;
        uint64_t trim_to; /* entries up to here are no longer needed */
        bool sync;        /* durable before wal_write() returns */
};
void wal_batch_clear(struct wal_batch *b);

/* Begins a log, durably; one that is there already goes. start: no entries are looked at. */
int wal_create(struct wal **ret, const struct wal_options *o, const struct wal_contents *start,
                struct problem *p);
/* Reads and checks all of it. Writes of a killed process are durable afterwards.
 * -EUCLEAN with p when it is damaged, -ENOENT when there is none. */
int wal_open(struct wal **ret, const struct wal_options *o, struct wal_contents *ret_contents,
                struct problem *p);
/* Whether there is more of a log than the beginning that wal_create() makes, damaged or not: 1, 0,
 * or an error. */
int wal_was_written(const struct wal_options *o);
/* Closes; writes nothing. */
struct wal *wal_free(struct wal *w);
DEFINE_CLEANUP(struct wal *, wal_free);

/* -ENOSPC: the disk is full and the log is as before. After any other error it can only be closed.
 * A batch that says nothing new costs nothing. */
int wal_write(struct wal *w, const struct wal_batch *b);
/* A whole state replaced what the log led to: it begins after (index, term) now. */
int wal_reset(struct wal *w, uint64_t index, uint64_t term);
/* At a clean stop: makes all of it, and the mark, durable. */
int wal_finish(struct wal *w);
/* Frees the room of segments that were kept for reuse. From any one thread, also beside
 * wal_write().
 */
int wal_give_back(const struct wal *w);
/* Whether the mark has moved since it was made durable. Any thread. */
bool wal_mark_is_ahead(const struct wal *w);
/* Makes the mark durable, if it moved. From any one thread, also beside wal_write(). */
int wal_sync_mark(struct wal *w);
