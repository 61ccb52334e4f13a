/* Shared by the files of the core. Nothing outside kstored/raft/ includes it. */
#pragma once

#include "kstored/raft/bugs.h"
#include "kstored/raft/raft.h"

/* The log in memory: every entry after `base`, the last one that a snapshot covers. */
struct raft_log {
        struct raft_entry **entries;
        size_t start; /* first used slot */
        size_t count;
        size_t allocated;
        uint64_t base_index;
        uint64_t base_term;
        uint64_t commit;
        uint64_t applied;       /* handed out for applying */
        uint64_t saved;         /* durable */
        uint64_t save_last;     /* last index of the save under way */
        uint64_t next_save;     /* first index never handed out for saving */
        uint64_t truncate_from; /* goes with the next save; 0: none */
        size_t uncommitted_bytes;
        size_t bytes; /* of all entries' data */
};

enum progress_state {
        PROGRESS_PROBE,     /* one append at a time until it is known where its log matches */
        PROGRESS_REPLICATE, /* a window of appends on their way */
        PROGRESS_SNAPSHOT,  /* waits for a snapshot */
};

struct progress {
        uint64_t id;
        uint64_t match;
        uint64_t next;
        uint64_t snapshot_index;
        uint64_t read_ack; /* newest read round it has answered */
        enum progress_state state;
        bool learner;
        bool active;  /* heard from since the last quorum check */
        bool paused;  /* probe sent, no answer yet */
        bool voted;   /* answered in this election ... */
        bool granted; /* ... with yes */
        unsigned inflight_start;
        unsigned inflight_count;
        size_t inflight_bytes;
        struct {
                uint64_t last;
                size_t bytes;
        } inflight[RAFT_INFLIGHT_MAX];
};

struct held_message {
        uint64_t need; /* the save that must be durable first */
        struct raft_message m;
};

struct pending_read {
        uint64_t round;
        uint64_t index;
        uint64_t from;  /* 0: this member */
        uint64_t asked; /* what was committed there when it asked */
        uint64_t context;
};

struct vector_of_messages {
        struct raft_message *v;
        size_t count, allocated;
};

struct raft {
        uint64_t id;
        enum raft_role role;
        uint64_t term;
        uint64_t vote;
        uint64_t leader;
        struct raft_log log;

        /* Newest last; a configuration counts from the moment its entry is in the log. */
        struct raft_config *configs;
        size_t config_count, config_allocated;
        /* Of the newest configuration, this member included. */
        struct progress *peers[RAFT_MEMBERS_MAX];
        size_t peer_count;

        unsigned election_ticks, heartbeat_ticks;
        unsigned election_elapsed, heartbeat_elapsed, election_timeout;
        uint64_t chance;
        uint64_t transfer_to;
        unsigned transfer_elapsed;

        uint64_t read_round;
        struct pending_read *reads; /* wait for a round or for the first commit of the term */
        size_t read_count, reads_allocated;
        struct raft_read *reads_done;
        size_t reads_done_count, reads_done_allocated;

        struct vector_of_messages out;   /* may go now */
        struct vector_of_messages taken; /* handed out by raft_ready() */
        struct held_message *held;
        size_t held_count, held_allocated;
        bool state_dirty; /* term or vote differ from what was handed out for saving */
        bool saving;
        uint64_t saves_begun, saves_done;

        size_t ready_reads;
        size_t ready_committed;
        struct raft_entry **save_entries;
        size_t save_entries_allocated;
        struct raft_status reported; /* as of the last raft_advance() */
        bool restored;
        struct raft_contradiction contradiction;
};

/* log.c */
uint64_t log_last(const struct raft_log *l);
uint64_t log_term(const struct raft_log *l, uint64_t index); /* 0: unknown */
struct raft_entry *log_at(const struct raft_log *l, uint64_t index);
int log_append(struct raft_log *l, struct raft_entry *e); /* takes */
void log_truncate(struct raft_log *l, uint64_t from);
void log_drop_until(struct raft_log *l, uint64_t index);
void log_reset(struct raft_log *l, uint64_t index, uint64_t term);
void log_done(struct raft_log *l);
bool log_up_to_date(const struct raft_log *l, uint64_t index, uint64_t term);
/* The last index not above `index` whose term is not above `term`. */
uint64_t log_find_conflict(const struct raft_log *l, uint64_t index, uint64_t term);

/* config.c */
int config_push(struct raft *raft, const struct raft_config *c);
int config_append_entry(struct raft *raft, const struct raft_entry *e);
int config_truncate(struct raft *raft, uint64_t from);
void config_prune(struct raft *raft);
int config_sync_peers(struct raft *raft);
struct progress *peer_find(const struct raft *raft, uint64_t id);
bool raft_is_voter(const struct raft *raft, uint64_t id);
size_t raft_voter_count(const struct raft *raft);
static inline size_t raft_quorum(const struct raft *raft) {
        return raft_voter_count(raft) / 2 + 1;
}
bool config_change_pending(const struct raft *raft);
bool may_campaign(const struct raft *raft);
/* The configuration after the change; -EEXIST, -ENOENT, -EINVAL. */
int config_apply(const struct raft_config *from, const struct raft_change *c, uint64_t index,
                struct raft_config *ret);

/* send.c: takes the references in m.entries */
int raft_send(struct raft *raft, struct raft_message m); /* waits for what is unsaved */
int raft_send_now(struct raft *raft, struct raft_message m);
int held_release(struct raft *raft);
void message_done(struct raft_message *m);
void messages_clear(struct vector_of_messages *v);

/* role.c */
void become_follower(struct raft *raft, uint64_t term, uint64_t leader);
int become_leader(struct raft *raft);
enum campaign_kind { CAMPAIGN_PRE, CAMPAIGN_REAL, CAMPAIGN_TRANSFER };
int campaign(struct raft *raft, enum campaign_kind kind);
int count_votes(struct raft *raft);

/* progress.c */
void progress_reset(struct progress *p, uint64_t next);
void progress_become_probe(struct progress *p);
void progress_become_replicate(struct progress *p);
void progress_become_snapshot(struct progress *p, uint64_t index);
bool progress_paused(const struct progress *p);
void progress_sent(struct progress *p, uint64_t last, size_t bytes);
void progress_free_to(struct progress *p, uint64_t index);
bool progress_update(struct progress *p, uint64_t match);

/* replicate.c */
int append_local(struct raft *raft, struct raft_entry *e); /* takes; index and term set here */
int send_append(struct raft *raft, struct progress *p, bool even_empty);
int broadcast_append(struct raft *raft);
int broadcast_heartbeat(struct raft *raft);
int maybe_commit(struct raft *raft);
bool commit_alone(struct raft *raft);
int follow_commit(struct raft *raft, uint64_t commit);

/* read.c */
/* A read of this member or of another one: from, context and asked are set. */
int read_begin(struct raft *raft, const struct pending_read *read);
int read_acked(struct raft *raft);
int read_started_term(struct raft *raft);
void reads_drop(struct raft *raft);
/* index 0: it must be asked again. */
int read_finish(struct raft *raft, const struct pending_read *read, uint64_t index);

/* contradict.c: -EUCLEAN when an entry of the leader contradicts what was committed here, else
 * 0. */
int check_against_committed(
                struct raft *raft, const struct raft_message *m, uint64_t index, uint64_t term);
/* The same for the whole entry: there is only one of an index and term. */
int check_entry(struct raft *raft, const struct raft_message *m, const struct raft_entry *e);
/* Ends the core. Returns -EUCLEAN. */
int contradict(struct raft *raft, const struct raft_contradiction *c);

/* One file per received message. */
int recv_vote(struct raft *raft, const struct raft_message *m);
int recv_vote_reply(struct raft *raft, const struct raft_message *m);
int recv_append(struct raft *raft, const struct raft_message *m);
int recv_append_reply(struct raft *raft, const struct raft_message *m);
int recv_heartbeat(struct raft *raft, const struct raft_message *m);
int recv_heartbeat_reply(struct raft *raft, const struct raft_message *m);
int recv_snapshot(struct raft *raft, const struct raft_message *m);
int recv_snapshot_status(struct raft *raft, const struct raft_message *m);
int recv_timeout_now(struct raft *raft, const struct raft_message *m);
int recv_read_index(struct raft *raft, const struct raft_message *m);
int recv_read_index_reply(struct raft *raft, const struct raft_message *m);
int recv_propose(struct raft *raft, const struct raft_message *m);
int recv_transfer(struct raft *raft, const struct raft_message *m);

/* Grows *v to hold n elements. */
int grow(void **v, size_t *allocated, size_t n, size_t element);
