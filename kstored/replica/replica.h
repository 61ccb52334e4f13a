/* One member without its I/O: combines Raft core, state machine and tables.
 *
 *   event -> step -> save -> send -> apply        (replica_turn)
 *
 * No clock, thread or socket: the time is given to it, writing and sending are the driver's. The
 * program drives it from an event loop (server.c), tests/sim from a simulated world.
 *
 * Raft's saves go to the log; applied changes go to the database, later and in larger
 * batches. One write of each is under way at a time; everything that comes meanwhile goes into the
 * next. */
#pragma once

#include "kstored/raft/bugs.h"
#include "kstored/state/state.h"
#include "kstored/mvcc/watch.h"

enum {
        REPLICA_UNFLUSHED_BYTES_MAX = 64 * 1024 * 1024, /* of rows that the database lacks */
        REPLICA_FLUSH_BYTES = 256 * 1024,               /* this many are written together */
        REPLICA_REVOKES = 250,                          /* leases that are revoked in one step */
        REPLICA_COMPACT_BATCH = 2000,                   /* keys looked at in one step */
        REPLICA_LOG_MAX = 1000000, /* entries kept for a snapshot under way, no more */
        REPLICA_LOG_BYTES_MAX = 128 * 1024 * 1024, /* entries of more leave the log, down to half */
        REPLICA_LOG_HELD_FACTOR = 4,               /* times that limit, for a snapshot under way */
};

struct replica;

struct replica_ops {
        /* Starts wal_write() and calls replica_saved() later, never from in here; b stays as it is
         * until then. */
        void (*save)(void *userdata, const struct wal_batch *b);
        /* The same with disk_write(), perhaps a checkpoint after it, and replica_flushed(). */
        void (*flush)(void *userdata, const struct disk_batch *b);
        /* To another member; borrowed. RAFT_MSG_SNAPSHOT: move a state at or after its log_index
         * there, then step RAFT_MSG_SNAPSHOT_STATUS here. */
        void (*send)(void *userdata, const struct raft_message *m);
        /* Whether a request waits for the entry with this id, and the outcome of that entry. */
        bool (*waiting)(void *userdata, uint64_t id);
        void (*outcome)(void *userdata, uint64_t id, const struct outcome *o);
        /* A read barrier is known; it may be served once `index` is applied (0: ask again). */
        void (*read_allowed)(void *userdata, const struct raft_read *read);
        /* Entries were applied or reads allowed: calls that waited for that can be served. */
        void (*applied)(void *userdata);
        void (*role_changed)(void *userdata, const struct raft_status *status);
        /* This member cannot continue: it does nothing from now on. */
        void (*failed)(void *userdata, int error, const char *what);
};

struct replica_options {
        struct disk *disk;                /* open; the caller's */
        struct wal_folder files;          /* of the log; borrowed */
        size_t segment_bytes, step_bytes; /* see struct wal_options */
        const struct replica_ops *ops;
        void *userdata;
        uint64_t seed;
        uint32_t heartbeat_ms;
        uint32_t election_ms;
        uint64_t snapshot_count; /* log entries kept for members that lag ... */
        size_t log_bytes_max;    /* ... and how large they may be; 0: REPLICA_LOG_BYTES_MAX */
        size_t fragment_bytes;   /* of watch responses */
        bool no_fsync;
        /* The initial state of an empty disk. Members that are taken become NULL here; those
         * that an error leaves in the array are the caller's. */
        uint64_t cluster_id;
        uint64_t member_id;
        struct member **members;
        size_t member_count;
        bool joining; /* the members are those of a cluster that runs, as of config_index */
        uint64_t config_index;
};

struct replica {
        struct replica_options options;
        struct disk *disk;
        struct wal *wal;
        struct state *state; /* the same for life; a snapshot replaces what it holds */
        struct raft *raft;
        struct hub *hub;
        uint64_t cluster_id;
        uint64_t member_id;

        struct wal_batch saving; /* for the log: with the driver, or refused by a full disk */
        bool saving_now, save_pending;
        uint64_t save_again_ms;
        struct disk_batch flushing; /* for the database: the same */
        bool flushing_now;
        uint64_t flush_at_ms; /* what is only in memory is written then */
        int64_t flushing_next_seq;
        bool log_full, database_full; /* their disk was, the last time */
        bool disk_full;               /* either */
        uint64_t settled;             /* the database holds durably what was applied up to here */
        uint64_t takes, takes_written, take_wanted; /* replica_flush_ask() */

        struct arena arena; /* of the command being proposed */
        uint64_t now_ms;
        uint64_t tick_ms, next_tick_ms;
        uint64_t expire_at_ms; /* more leases have ended; 0: not */
        bool hold_dropping;    /* rows that a compaction would delete are still being read */
        uint64_t keep_after; /* log entries after this stay, for a snapshot under way; 0: none is */
        bool was_leader;
        uint64_t led_term; /* as was_leader: when the role changed last */
        bool in_doubt;     /* something could not be read; cleared by the scrub that follows */
        bool removed;      /* the log says that this member was removed */
        /* heard.c */
        bool fresh; /* began empty and takes part in nothing until replica_confirm() */
        bool confirming;
        uint64_t heard_ticket;
        size_t heard_durable; /* how many of state->heard are on the disk */
        int failed;
};

/* Loads what the disk holds, or begins with the members of the options. p says what a person can
 * do. */
int replica_new(struct replica **ret, const struct replica_options *options, uint64_t now_ms,
                struct problem *p);
/* Writes nothing: see replica_last_write(). */
struct replica *replica_free(struct replica *replica);
DEFINE_CLEANUP(struct replica *, replica_free);

/* Everything that follows from what was stepped, proposed, ticked or written before. To be called
 * after each of those; cheap when there is nothing to do. */
void replica_turn(struct replica *replica, uint64_t now_ms);
/* Ticks that are due, leases that end, a step of compaction. */
void replica_tick(struct replica *replica, uint64_t now_ms);
/* Whether a step of compaction is due now. */
bool replica_drops(const struct replica *replica);
/* When replica_tick() wants to be called next. */
uint64_t replica_next_ms(const struct replica *replica);
/* The log is written: 0, -ENOSPC (nothing was written; tried again later) or another error, which
 * ends the member. */
void replica_saved(struct replica *replica, int result);
/* Any other write to the log, outside of a save, failed: the member ends, with the same words. */
void replica_log_failed(struct replica *replica, int error);
/* The same for the database; settled: a checkpoint after it has made all of it durable. */
void replica_flushed(struct replica *replica, int result, bool settled);
/* Ends the member: ops->failed() is called once, and nothing more happens in it. */
void replica_fail(struct replica *replica, int error, const char *what);
/* Neither is being written. */
bool replica_idle(const struct replica *replica);

/* A message from a member; errors that are not the sender's end the member. */
void replica_step(struct replica *replica, const struct raft_message *m);
/* Proposes a command; see raft_propose(). */
int replica_propose(struct replica *replica, enum command_kind kind, uint64_t id, const void *data,
                size_t n);
/* The members as the state has them; at the start and after a snapshot they are Raft's. */
struct raft_config replica_config(const struct replica *replica);
/* Copies of the members that have to be reached, the caller's: those of the state, and those that
 * are added by entries of the log that are not applied yet. A member that is being added must be
 * reached before its entry is committed: its own vote may be needed to commit it. */
int replica_members(const struct replica *replica, struct member *ret[static RAFT_MEMBERS_MAX],
                size_t *ret_count);
bool replica_is_leader(const struct replica *replica);

/* Writes everything applied as soon as possible: before disk_copy(), so that the copy is as new as
 * the log needs. True when it is written. */
bool replica_flush(struct replica *replica);
/* The same for what was applied until now, whatever follows: gives a ticket, and whether its part
 * is written. */
uint64_t replica_flush_ask(struct replica *replica);
bool replica_flush_done(const struct replica *replica, uint64_t ticket);
/* Puts a state that came as a file (disk_copy() of another member, checked) in place of this one's,
 * if it is newer. m: the RAFT_MSG_SNAPSHOT it came with; log_index and log_term must be what the
 * file holds. The file is gone afterwards. -EAGAIN while something is being written. */
int replica_install(struct replica *replica, const char *path, const struct raft_message *m);
/* heard.c: a member that begins a cluster of several with an empty disk may have been one of its
 * members before, and may have promised what it no longer knows. It does not take part (`fresh`)
 * until the driver has asked the others and calls this (first-life.h). */
void replica_confirm(struct replica *replica);
/* Notes that a member takes part in the cluster: true once that is durable. Nothing that it sends
 * may count before that. Members of no configuration are not noted, and true. */
bool replica_hear(struct replica *replica, uint64_t id);
/* Whether that member has taken part before, as far as this one knows. */
bool replica_knows(const struct replica *replica, uint64_t id);
/* Whether nothing was ever voted or agreed on, as far as this member knows. */
bool replica_is_new(const struct replica *replica);
/* For replica.c: after a flush, and after another member's state took the place of this one's. */
void replica_heard_written(struct replica *replica);
void replica_heard_again(struct replica *replica, const uint64_t *ids, size_t n);
/* contradict.c: what raft_get_contradiction() says, for people, with what to do; and the
 * CORRUPT alarm for the cluster, which blames nobody. */
char *replica_contradiction_text(const struct replica *replica);
void replica_report_contradiction(struct replica *replica);
/* Before replica_install(): false when where the leader's terms began shows that its state lacks
 * what was committed here. That ends this member. */
bool replica_check_terms(struct replica *replica, const struct raft_message *m,
                const struct raft_term_start *starts, size_t n);
/* At a clean stop, when it is idle: what is only in memory, so that the next start has less to do.
 */
void replica_last_write(struct replica *replica);
