/* A message comes in: terms first, then one file per message. */
#include "kstored/raft/internal.h"

#include <errno.h>

struct row {
        int (*recv)(struct raft *raft, const struct raft_message *m);
        bool from_leader; /* only a leader sends it: its sender leads the term */
};

static const struct row rows[] = {
                [RAFT_MSG_PRE_VOTE] = {recv_vote, false},
                [RAFT_MSG_PRE_VOTE_REPLY] = {recv_vote_reply, false},
                [RAFT_MSG_VOTE] = {recv_vote, false},
                [RAFT_MSG_VOTE_REPLY] = {recv_vote_reply, false},
                [RAFT_MSG_APPEND] = {recv_append, true},
                [RAFT_MSG_APPEND_REPLY] = {recv_append_reply, false},
                [RAFT_MSG_HEARTBEAT] = {recv_heartbeat, true},
                [RAFT_MSG_HEARTBEAT_REPLY] = {recv_heartbeat_reply, false},
                [RAFT_MSG_SNAPSHOT] = {recv_snapshot, true},
                [RAFT_MSG_TIMEOUT_NOW] = {recv_timeout_now, false},
                [RAFT_MSG_READ_INDEX] = {recv_read_index, false},
                [RAFT_MSG_READ_INDEX_REPLY] = {recv_read_index_reply, false},
                [RAFT_MSG_PROPOSE] = {recv_propose, false},
                [RAFT_MSG_TRANSFER] = {recv_transfer, false},
};

static bool is_vote_request(const struct raft_message *m) {
        return m->type == RAFT_MSG_VOTE || m->type == RAFT_MSG_PRE_VOTE;
}

/* Whether a vote request must be ignored because a leader is known to live (dissertation, section
 * 4.2.3). */
static bool protected_by_leader(const struct raft *raft, const struct raft_message *m) {
        return is_vote_request(m) && m->context == 0 && raft->leader != 0 &&
               raft->election_elapsed < raft->election_ticks;
}

static void newer_term(struct raft *raft, const struct raft_message *m) {
        if (m->type == RAFT_MSG_PRE_VOTE)
                return; /* the request is about a term that no member is in yet */
        if (m->type == RAFT_MSG_PRE_VOTE_REPLY && !m->reject)
                return;
        become_follower(raft, m->term, rows[m->type].from_leader ? m->from : 0);
}

static int older_term(struct raft *raft, const struct raft_message *m) {
        /* A stale leader, or one with a lower term than a member that was cut off, learns the newer
         * term. */
        if (rows[m->type].from_leader)
                return raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                       .to = m->from,
                                                       .reject = true,
                                                       .log_index = m->log_index});
        if (m->type == RAFT_MSG_PRE_VOTE)
                return raft_send(raft, (struct raft_message){.type = RAFT_MSG_PRE_VOTE_REPLY,
                                                       .to = m->from,
                                                       .reject = true});
        return 0;
}

int raft_step(struct raft *raft, const struct raft_message *m) {
        if (raft->contradiction.kind != RAFT_CONTRADICTION_NONE)
                return -EUCLEAN;
        if (m->type == RAFT_MSG_SNAPSHOT_STATUS)
                return recv_snapshot_status(raft, m);
        if (m->type < RAFT_MSG_PRE_VOTE || m->type > RAFT_MSG_TRANSFER || m->from == 0 ||
                        m->from == raft->id || m->to != raft->id)
                return -EBADMSG;
        if (m->term > raft->term) {
                if (protected_by_leader(raft, m))
                        return 0;
                newer_term(raft, m);
        } else if (m->term < raft->term)
                return older_term(raft, m);
        if (rows[m->type].from_leader) {
                if (raft->role == RAFT_LEADER)
                        return -EBADMSG; /* two leaders in one term: impossible (section 5.2) */
                if (raft->role != RAFT_FOLLOWER)
                        become_follower(raft, m->term, m->from);
                raft->leader = m->from;
                raft->election_elapsed = 0;
        }
        return rows[m->type].recv(raft, m);
}
