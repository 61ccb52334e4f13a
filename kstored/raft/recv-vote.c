/* PreVote and Vote requests. Raft paper, section 5.2: one vote a term, for the first that asks.
 * Section 5.4.1: only for a candidate whose log is at least as up to date as this member's.
 * Dissertation, section 4.2.3: a member that hears from a leader, or leads itself, grants nothing,
 * unless that leader asked for the election (3.10). Section 9.6: a pre-vote changes nothing here.
 */
#include "kstored/raft/internal.h"

int recv_vote(struct raft *raft, const struct raft_message *m) {
        bool pre = m->type == RAFT_MSG_PRE_VOTE;
        bool can = raft->vote == m->from || (raft->vote == 0 && raft->leader == 0) ||
                   (pre && m->term > raft->term);
        bool grant = (can || bug(BUG_VOTE_TWICE)) &&
                     (log_up_to_date(&raft->log, m->log_index, m->log_term) || bug(BUG_VOTE_BLIND));

        if (grant && !pre) {
                raft->election_elapsed = 0;
                if (raft->vote != m->from) {
                        raft->vote = m->from;
                        raft->state_dirty = true;
                }
        }
        return raft_send(raft, (struct raft_message){.type = pre ? RAFT_MSG_PRE_VOTE_REPLY
                                                                 : RAFT_MSG_VOTE_REPLY,
                                               .to = m->from,
                                               /* A granted pre-vote is for the next term. */
                                               .term = grant ? m->term : raft->term,
                                               .reject = !grant});
}
