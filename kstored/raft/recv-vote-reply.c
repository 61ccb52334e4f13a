/* Answers to PreVote and Vote requests. Raft paper, section 5.2: a candidate wins with the votes of
 * a majority of the voters; each answers once in a term. */
#include "kstored/raft/internal.h"

int recv_vote_reply(struct raft *raft, const struct raft_message *m) {
        struct progress *p = peer_find(raft, m->from);
        bool pre = m->type == RAFT_MSG_PRE_VOTE_REPLY;

        if (!p || p->voted || raft->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
                return 0;
        /* A yes to an earlier pre-election does not count in this one. */
        if (pre && !m->reject && m->term != raft->term + 1)
                return 0;
        p->voted = true;
        p->granted = !m->reject;
        return count_votes(raft);
}
