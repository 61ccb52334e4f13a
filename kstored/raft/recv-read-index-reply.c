/* The leader's answer to our reader. */
#include "kstored/raft/core.h"

int recv_read_index_reply(struct raft *r, const struct raft_message *m) {
        const struct pending_read read = {.context = m->context};
        int e;

        /* It answers once it has committed in its own term, and then has all that was committed
         * before it was asked. */
        if (!m->reject && m->log_index < m->commit && !bug(BUG_FOLLOW_BLINDLY))
                return contradict(r, &(struct raft_contradiction){.kind = RAFT_CONTRADICTION_READ,
                                                     .leader = m->from,
                                                     .leader_term = m->term,
                                                     .index = m->log_index,
                                                     .our_index = m->commit});
        /* Nor is it far enough when another entry stands there. Leaders of before say no term. */
        e = m->reject || m->log_term == 0
                            ? 0
                            : check_against_committed(r, m, m->log_index, m->log_term);
        return e < 0 ? e : read_finish(r, &read, m->reject ? 0 : m->log_index);
}
