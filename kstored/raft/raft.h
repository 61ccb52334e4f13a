/* The Raft core: pure and deterministic. Messages, ticks and proposals go in; the state to save,
 * the messages to send and the entries to apply come out. No I/O, clock, thread or random source:
 * time is the number of ticks, chance comes from the seed given at the start, so the same input
 * gives the same output.
 *
 * The driver's duty, in this order (Ongaro's dissertation, figure 3.1 and section 10.2.1):
 *   1. raft_step(), raft_tick(), raft_propose(), raft_read_index() for what happened;
 *   2. raft_ready(): start saving `save`, send `messages` now (those that depend on a save are held
 *      back here until raft_saved()), apply `committed` in order, answer `reads`;
 *   3. raft_advance(); and raft_saved() when the save is durable. One save is under way at a time:
 *      later changes join the next one. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
        RAFT_MEMBERS_MAX = 16,   /* voters and learners together */
        RAFT_INFLIGHT_MAX = 128, /* appends on their way to one member */
        RAFT_APPEND_ENTRIES_MAX = 4096,
        RAFT_PENDING_READS_MAX = 4096,
};
#define RAFT_INFLIGHT_BYTES_MAX ((size_t)16 * 1024 * 1024)
#define RAFT_APPEND_BYTES_MAX ((size_t)1024 * 1024)
/* Proposals above this much of uncommitted data are refused with -EAGAIN. */
#define RAFT_UNCOMMITTED_BYTES_MAX ((size_t)128 * 1024 * 1024)

enum raft_role {
        RAFT_FOLLOWER,
        RAFT_PRE_CANDIDATE,
        RAFT_CANDIDATE,
        RAFT_LEADER,
};

enum raft_entry_type {
        RAFT_ENTRY_NORMAL, /* size 0: a new leader's first entry */
        RAFT_ENTRY_CONFIG, /* data: raft_change_encode()'s bytes, then the driver's own */
};

/* Immutable, shared by reference count; one thread counts. */
struct raft_entry {
        uint64_t index;
        uint64_t term;
        uint32_t type;
        uint32_t refs;
        size_t size;
        uint8_t data[];
};

struct raft_entry *raft_entry_new(
                uint64_t index, uint64_t term, uint32_t type, const void *data, size_t size);
struct raft_entry *raft_entry_ref(struct raft_entry *e);
struct raft_entry *raft_entry_unref(struct raft_entry *e);

enum raft_change_op {
        RAFT_ADD_VOTER = 1, /* also promotes a learner */
        RAFT_ADD_LEARNER,
        RAFT_REMOVE,
        RAFT_UPDATE, /* nothing changes for Raft: the driver's own record of a member does */
};

struct raft_change {
        enum raft_change_op op;
        uint64_t id;
};

enum { RAFT_CHANGE_SIZE = 9 };
void raft_change_encode(const struct raft_change *c, uint8_t out[static RAFT_CHANGE_SIZE]);
/* -EINVAL when the bytes are not a change. */
int raft_change_decode(const uint8_t *data, size_t n, struct raft_change *ret);

struct raft_config {
        uint64_t index; /* of the entry that made it */
        uint32_t count;
        struct {
                uint64_t id;
                bool learner;
        } members[RAFT_MEMBERS_MAX];
};

/* Wire values: only ever added to. */
enum raft_message_type {
        RAFT_MSG_PRE_VOTE = 1,
        RAFT_MSG_PRE_VOTE_REPLY = 2,
        RAFT_MSG_VOTE = 3,
        RAFT_MSG_VOTE_REPLY = 4,
        RAFT_MSG_APPEND = 5,
        RAFT_MSG_APPEND_REPLY = 6,
        RAFT_MSG_HEARTBEAT = 7,
        RAFT_MSG_HEARTBEAT_REPLY = 8,
        RAFT_MSG_SNAPSHOT = 9, /* the driver moves the state, then steps this into the receiver */
        RAFT_MSG_TIMEOUT_NOW = 10,
        RAFT_MSG_READ_INDEX = 11,
        RAFT_MSG_READ_INDEX_REPLY = 12,
        RAFT_MSG_PROPOSE = 13,  /* entries without index and term, from a member to its leader */
        RAFT_MSG_TRANSFER = 14, /* context: the member that shall lead */
        RAFT_MSG_SNAPSHOT_STATUS =
                        15, /* the driver to its own core, from = receiver; reject: failed */
};

struct raft_message {
        enum raft_message_type type;
        uint64_t to;
        uint64_t from;
        uint64_t term;
        uint64_t log_index; /* what the entries follow; in replies: the last index that matches */
        uint64_t log_term;
        uint64_t commit;     /* reads: what the one that asks had then; the answer repeats it */
        uint64_t hint_index; /* in a refusal: where to look next */
        uint64_t hint_term;
        uint64_t context; /* reads: their number; votes: 1 when the leader asked for the election */
        bool reject;
        struct raft_entry **entries;
        size_t entry_count;
        const struct raft_config *config; /* snapshots: members at log_index */
};

struct raft_read {
        uint64_t context;
        uint64_t index; /* the read may be served once this is applied; 0: try again */
};

struct raft_save {
        uint64_t term;
        uint64_t vote;
        uint64_t commit;
        uint64_t truncate_from;      /* entries from here on go first; 0: none */
        struct raft_entry **entries; /* in order, without gaps */
        size_t entry_count;
};

/* Valid until raft_advance(), with no call in between that steps, ticks or proposes; entries may be
 * kept by a reference. */
struct raft_ready {
        bool must_save;
        struct raft_save save;
        const struct raft_message *messages;
        size_t message_count;
        struct raft_entry *const *committed;
        size_t committed_count;
        const struct raft_read *reads;
        size_t read_count;
        bool role_changed; /* role, term or leader differ from the last ready */
        bool restored;     /* a snapshot replaced the log; committed starts after it */
};

struct raft_options {
        uint64_t id;
        uint64_t seed;
        unsigned election_ticks; /* at least this long without a leader; up to twice as long */
        unsigned heartbeat_ticks;
        struct raft_config config; /* as of applied */
        uint64_t term;
        uint64_t vote;
        uint64_t commit;
        uint64_t applied;        /* the state holds everything up to here */
        uint64_t snapshot_index; /* the entry before the first of the log; 0 at the beginning */
        uint64_t snapshot_term;
        struct raft_entry **entries; /* saved ones in order; borrowed */
        size_t entry_count;
};

struct raft_status {
        enum raft_role role;
        uint64_t id;
        uint64_t term;
        uint64_t vote;
        uint64_t leader; /* 0: none known */
        uint64_t commit;
        uint64_t applied;
        uint64_t saved;
        uint64_t first;
        uint64_t last;
        uint64_t transfer_to;
        bool learner;
};

enum raft_contradiction_kind {
        RAFT_CONTRADICTION_NONE,
        /* The leader has another entry where one was committed here. */
        RAFT_CONTRADICTION_ENTRY,
        /* The leader answered a read as of less than was committed here when it was asked. */
        RAFT_CONTRADICTION_READ,
        /* The leader has an acknowledgement of this member for entries that are not here. */
        RAFT_CONTRADICTION_LOST,
};

/* Two members disagree about what was committed: one of them has lost what it had acknowledged. The
 * core cannot know which one, except for LOST: then it is this one. */
struct raft_contradiction {
        enum raft_contradiction_kind kind;
        uint64_t leader;
        uint64_t leader_term; /* the term it leads */
        uint64_t index;       /* of the entry; what the leader named */
        uint64_t our_term;    /* of the entry; 0: no longer known */
        uint64_t their_term;
        uint64_t our_index; /* READ: what was committed here; LOST: where the log ends */
};

struct raft_progress_view {
        uint64_t id;
        uint64_t match;
        bool learner;
        bool active;
        bool snapshot; /* a snapshot is on its way to it */
};

struct raft;

/* -ENOMEM, or -EINVAL when what was saved contradicts itself. */
int raft_new(struct raft **ret, const struct raft_options *options);
struct raft *raft_free(struct raft *raft);

/* A message from another member, which need not be known, of any term. -ENOMEM, -EBADMSG; -EUCLEAN
 * when it contradicts what was committed here: from then on this core does nothing. */
int raft_step(struct raft *raft, const struct raft_message *m);
int raft_tick(struct raft *raft);
/* Shortens the election timeout: the connection to `lost` broke, which matters if it was the
 * leader, or (0) other members became reachable. Without a leader, this member campaigns within a
 * few ticks. Members do so one after the other, in the order of their ids, so that votes do not
 * split. PreVote makes this harmless if the leader is still alive. */
void raft_hurry(struct raft *raft, uint64_t lost);
/* Where a term's entries begin in a log. */
struct raft_term_start {
        uint64_t term, index;
};
/* A state from a leader comes without entries that could be compared with those committed here, but
 * with where the leader's terms began (rising, the newest complete). -EUCLEAN as raft_step() when
 * they contradict. */
int raft_check_terms(struct raft *raft, const struct raft_message *m,
                const struct raft_term_start *starts, size_t n);
/* Starts an election at once (a cluster of one at its start). */
int raft_campaign(struct raft *raft);
/* Proposes on the leader, or sends to it. 0, -ENOTCONN when no leader is known or leadership is
 * being handed over, -EAGAIN when too much is under way. */
int raft_propose(struct raft *raft, const void *data, size_t size);
/* Proposes one change of membership; data follows it in the entry. -EBUSY while another is under
 * way or the leader has not committed in its term, -EEXIST/-ENOENT when it changes nothing,
 * -ENOTCONN when not the leader, -EINVAL when it would leave no voter or too many members. */
int raft_propose_change(
                struct raft *raft, const struct raft_change *change, const void *data, size_t size);
/* Asks for a read barrier; answered in ready.reads with the same context. */
int raft_read_index(struct raft *raft, uint64_t context);
/* Hands leadership over (id 0: to the member with the most entries). -ENOTCONN, -ENOENT, -EINVAL.
 */
int raft_transfer(struct raft *raft, uint64_t id);

/* can_save false: the driver's disk is busy, so nothing is handed out for saving this time. */
bool raft_ready(struct raft *raft, bool can_save, struct raft_ready *ret);
void raft_advance(struct raft *raft);
/* The save taken last is durable. */
int raft_saved(struct raft *raft);
/* Forgets entries up to index (applied ones only): a member that needs them gets a snapshot. */
void raft_compact(struct raft *raft, uint64_t index);
/* Bytes of the data of all entries in the log, and the index up to which it would have to forget
 * entries to hold at most bytes_max (no further than what is applied; 0: nothing). */
size_t raft_log_bytes(const struct raft *raft);
uint64_t raft_log_excess(const struct raft *raft, size_t bytes_max);

void raft_get_status(const struct raft *raft, struct raft_status *ret);
/* The contradiction that ended the core; its kind is RAFT_CONTRADICTION_NONE when nothing did.
 * Borrowed. */
const struct raft_contradiction *raft_get_contradiction(const struct raft *raft);
size_t raft_get_progress(const struct raft *raft, struct raft_progress_view *ret, size_t n);
const struct raft_config *raft_get_config(const struct raft *raft);
/* Borrowed; NULL when it is not in the log. */
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);
uint64_t raft_term_at(const struct raft *raft, uint64_t index); /* 0 when not in the log */
const char *raft_role_to_string(enum raft_role role);
