/* PreVote and Vote requests. A member that hears from a leader, or leads itself, grants nothing
 * (dissertation, section 4.2.3), unless that leader asked for the election. */
#include "kstored/raft/core.h"

int recv_vote(struct raft *r, const struct raft_message *m) {
        bool pre = m->type == RAFT_MSG_PRE_VOTE;
        bool can = r->vote == m->from || (r->vote == 0 && r->leader == 0) ||
                   (pre && m->term > r->term);
        bool grant = (can || bug(BUG_VOTE_TWICE)) &&
                     (log_up_to_date(&r->log, m->log_index, m->log_term) || bug(BUG_VOTE_BLIND));

        if (grant && !pre) {
                r->election_elapsed = 0;
                if (r->vote != m->from) {
                        r->vote = m->from;
                        r->state_dirty = true;
                }
        }
        return raft_send(r, (struct raft_message){.type = pre ? RAFT_MSG_PRE_VOTE_REPLY
                                                              : RAFT_MSG_VOTE_REPLY,
                                            .to = m->from,
                                            /* A granted pre-vote speaks of the term to come. */
                                            .term = grant ? m->term : r->term,
                                            .reject = !grant});
}
