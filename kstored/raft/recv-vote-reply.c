/* Answers to our PreVote and Vote requests. */
#include "kstored/raft/core.h"

int recv_vote_reply(struct raft *r, const struct raft_message *m) {
        struct progress *p = peer_find(r, m->from);
        bool pre = m->type == RAFT_MSG_PRE_VOTE_REPLY;

        if (!p || p->voted || r->role != (pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE))
                return 0;
        /* A yes to an earlier pre-election says nothing about this one. */
        if (pre && !m->reject && m->term != r->term + 1)
                return 0;
        p->voted = true;
        p->granted = !m->reject;
        return count_votes(r);
}
