/* The leader's answer to a read barrier of this member. Dissertation, section 6.4: a follower may
 * serve a read once it has applied its log up to the index that the leader confirmed. */
#include "kstored/raft/internal.h"

int recv_read_index_reply(struct raft *raft, const struct raft_message *m) {
        const struct pending_read read = {.context = m->context};
        int r;

        /* A leader answers once it has committed in its own term, and then it has everything that
         * was committed before it was asked. */
        if (!m->reject && m->log_index < m->commit && !bug(BUG_FOLLOW_BLINDLY))
                return contradict(
                                raft, &(struct raft_contradiction){.kind = RAFT_CONTRADICTION_READ,
                                                      .leader = m->from,
                                                      .leader_term = m->term,
                                                      .index = m->log_index,
                                                      .our_index = m->commit});
        /* Another entry at that index is a contradiction too. Older leaders send no term. */
        r = m->reject || m->log_term == 0
                            ? 0
                            : check_against_committed(raft, m, m->log_index, m->log_term);
        return r < 0 ? r : read_finish(raft, &read, m->reject ? 0 : m->log_index);
}
