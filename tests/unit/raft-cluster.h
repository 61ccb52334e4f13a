/* A cluster of cores in one process: a network that loses, delays, reorders and repeats messages,
 * disks that keep only what was saved, crashes. Everything comes from one seed. The cluster checks
 * itself after every step: one leader a term, committed entries equal everywhere and never changed.
 */
#pragma once

#include "kstored/raft/raft.h"
#include "lib/base.h"

enum { CLUSTER_MAX = 7, CLUSTER_LOG_MAX = 8192, CLUSTER_NETWORK_MAX = 4096 };

struct cluster_node {
        struct raft *raft;
        bool up;
        bool contradicted; /* it ended, and why is in `contradiction` */
        struct raft_contradiction contradiction;
        /* the disk */
        uint64_t term, vote, commit, base_index, base_term;
        struct raft_entry *log[CLUSTER_LOG_MAX]; /* log[i] has index base_index + 1 + i */
        size_t log_count;
        struct raft_config config; /* as of applied */
        uint64_t applied;
        uint64_t applied_hash; /* of everything applied, in order */
        unsigned save_delay;   /* turns until the save under way is done; 0: none */
        struct raft_save pending;
        struct raft_entry **pending_entries;
        uint64_t last_read, last_read_index;
};

struct cluster_message {
        struct raft_message m;
        unsigned delay;
        uint64_t snapshot_hash; /* the state that goes with a snapshot */
};

struct cluster {
        uint64_t chance;
        unsigned loss_percent, repeat_percent, delay_max, save_delay_max;
        struct cluster_node nodes[CLUSTER_MAX];
        size_t count;
        struct cluster_message network[CLUSTER_NETWORK_MAX];
        size_t network_count;
        bool cut[CLUSTER_MAX][CLUSTER_MAX]; /* [from][to] */
        uint64_t leader_of_term[65536];
        uint64_t committed_term[65536];
        uint64_t committed_hash[65536];
        uint64_t state_hash[65536]; /* after applying that index */
        uint64_t max_committed;
        unsigned compact_after; /* entries kept; 0: all */
        /* A disk has lost what it had confirmed: two pasts are there, and a member may end. */
        bool forked;
};

void cluster_init(struct cluster *c, size_t n, size_t voters, uint64_t seed);
void cluster_done(struct cluster *c);
void cluster_run(struct cluster *c, unsigned turns);
/* Runs until the condition holds; fails the test after so many turns. */
void cluster_until(struct cluster *c, unsigned turns, bool (*condition)(struct cluster *c));
void cluster_crash(struct cluster *c, size_t i);
void cluster_start(struct cluster *c, size_t i);
void cluster_isolate(struct cluster *c, size_t i, bool isolated);
int cluster_leader(struct cluster *c); /* the one of the highest term; -1 */
uint64_t cluster_chance(struct cluster *c, uint64_t below);
bool cluster_has_leader(struct cluster *c);
/* Every node that is up has applied the same, up to what is committed. */
bool cluster_settled(struct cluster *c);
