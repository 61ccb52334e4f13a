/* One member without its surroundings: Raft core, state machine and tables brought together.
 *
 *   event -> step -> save -> send -> apply        (replica_turn)
 *
 * No clock, thread or socket: the time is given to it, writing and sending are the driver's. The
 * program drives it from an event loop (server.c), tests/sim from a simulated world.
 *
 * One write is under way at a time; everything proposed meanwhile goes into the next. */
#pragma once

#include "kstored/raft/bugs.h"
#include "kstored/state.h"
#include "kstored/watch.h"

enum {
        REPLICA_UNFLUSHED_BYTES_MAX = 64 * 1024 * 1024, /* rows that are only in memory */
        REPLICA_ROWS_WITH_SAVE = 128 * 1024, /* so many bytes of rows go along with a save */
        REPLICA_REVOKES = 250,               /* leases that end in one step */
        REPLICA_COMPACT_BATCH = 2000,        /* keys looked at in one step */
        REPLICA_LOG_MAX = 1000000,           /* entries kept for a snapshot under way, no more */
        REPLICA_LOG_BYTES_MAX = 128 * 1024 * 1024, /* entries of more leave the log, down to half */
        REPLICA_LOG_HELD_FACTOR = 4,               /* so many times that for a snapshot under way */
};

struct replica;

struct replica_ops {
        /* Starts writing (disk_write()) and calls replica_written() later, never from in here; b
         * stays as it is until then. */
        void (*write)(void *userdata, struct disk_batch *b);
        /* To another member; borrowed. RAFT_MSG_SNAPSHOT: move a state at or after its log_index
         * there, then step RAFT_MSG_SNAPSHOT_STATUS here. */
        void (*send)(void *userdata, const struct raft_message *m);
        /* Whether somebody waits for the entry with this id, and what became of it. */
        bool (*waiting)(void *userdata, uint64_t id);
        void (*outcome)(void *userdata, uint64_t id, const struct outcome *o);
        /* A read barrier is known; it may be served once `index` is applied (0: ask again). */
        void (*read_allowed)(void *userdata, const struct raft_read *read);
        /* Entries were applied or reads allowed: what waited for that can be served. */
        void (*applied)(void *userdata);
        void (*role_changed)(void *userdata, const struct raft_status *status);
        /* This member can not go on; nothing happens in it any more. */
        void (*failed)(void *userdata, int error, const char *what);
};

struct replica_options {
        struct disk *disk; /* open; the caller's */
        const struct replica_ops *ops;
        void *userdata;
        uint64_t seed;
        uint32_t heartbeat_ms;
        uint32_t election_ms;
        uint64_t snapshot_count; /* log entries kept for members that lag ... */
        size_t log_bytes_max;    /* ... and how large they may be; 0: REPLICA_LOG_BYTES_MAX */
        size_t fragment_bytes;   /* of watch responses */
        bool no_fsync;
        /* What an empty disk begins with; the members are taken. */
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
        struct state *state; /* the same for life; a snapshot replaces what it holds */
        struct raft *raft;
        struct hub *hub;
        uint64_t cluster_id;
        uint64_t member_id;

        struct disk_batch saving; /* with the driver */
        bool writing;
        bool saving_raft; /* it holds a save of the core */
        bool disk_full;
        uint64_t flush_at_ms; /* rows in memory are written then, if no save takes them along */
        int64_t saving_next_seq;
        uint64_t takes, takes_written, take_wanted; /* replica_flush_ask() */

        struct arena arena; /* of the command being proposed */
        uint64_t now_ms;
        uint64_t tick_ms, next_tick_ms;
        uint64_t expire_at_ms; /* more leases have ended; 0: not */
        bool hold_dropping;    /* somebody still reads what a compaction made needless */
        uint64_t keep_after; /* log entries after this stay, for a snapshot under way; 0: none is */
        bool was_leader;
        uint64_t led_term; /* as was_leader: when the role changed last */
        bool removed;      /* the log says that this member was removed */
        int failed;
};

/* Loads what the disk holds, or begins with the options' members. p says what a person can do. */
int replica_new(struct replica **ret, const struct replica_options *options, uint64_t now_ms,
                struct problem *p);
/* Writes nothing: see replica_last_write(). */
struct replica *replica_free(struct replica *r);
DEFINE_CLEANUP(struct replica *, replica_free);

/* Everything that follows from what was stepped, proposed, ticked or written before. To be called
 * after each of those; cheap when there is nothing to do. */
void replica_turn(struct replica *r, uint64_t now_ms);
/* Ticks that are due, leases that end, a step of compaction. */
void replica_tick(struct replica *r, uint64_t now_ms);
/* Whether a step of compaction is due now. */
bool replica_drops(const struct replica *r);
/* When replica_tick() wants to be called next. */
uint64_t replica_next_ms(const struct replica *r);
/* The write is done: 0, -ENOSPC (nothing was written; tried again later) or another error, which
 * ends the member. */
void replica_written(struct replica *r, int result);

/* A message from a member; errors that are not the sender's end the member. */
void replica_step(struct replica *r, const struct raft_message *m);
/* Proposes a command; see raft_propose(). */
int replica_propose(
                struct replica *r, enum command_kind kind, uint64_t id, const void *data, size_t n);
/* The members as the state has them; at the start and after a snapshot they are Raft's. */
struct raft_config replica_config(const struct replica *r);
/* Copies of the members that have to be reached, the caller's: those of the state, and those that
 * come in by entries of the log that are not applied yet. A new member needs them to join, and
 * where its vote is needed to find out that it is one, it must be reached before. */
int replica_members(const struct replica *r, struct member *ret[static RAFT_MEMBERS_MAX],
                size_t *ret_count);
bool replica_is_leader(const struct replica *r);

/* Everything applied is written as soon as possible: before disk_copy(), so that the copy is as new
 * as the log needs. True when it is. */
bool replica_flush(struct replica *r);
/* The same for what was applied until now, however much follows: a ticket, and whether it is
 * written. */
uint64_t replica_flush_ask(struct replica *r);
bool replica_flush_done(const struct replica *r, uint64_t ticket);
/* Puts a state that came as a file (disk_copy() of another member, checked) in place of this one's,
 * if it is newer. m: the RAFT_MSG_SNAPSHOT it came with; log_index and log_term must be what the
 * file holds. The file is gone afterwards. -EAGAIN while a write is under way. */
int replica_install(struct replica *r, const char *path, const struct raft_message *m);
/* At a clean stop, with no write under way: what is only in memory, so that the next start has less
 * to do. */
void replica_last_write(struct replica *r);
