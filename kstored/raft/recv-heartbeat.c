/* The leader lives. Raft paper, section 5.2: a heartbeat is an append without entries and keeps
 * members from starting elections. It carries the commit index as far as this member is known to
 * hold the leader's log. */
#include "kstored/raft/internal.h"

#include <errno.h>

int recv_heartbeat(struct raft *raft, const struct raft_message *m) {
        /* It never names more than this member has acknowledged in its term: commit_for(). */
        if (m->commit > log_last(&raft->log) && !bug(BUG_HEARTBEAT_BEYOND))
                return contradict(
                                raft, &(struct raft_contradiction){.kind = RAFT_CONTRADICTION_LOST,
                                                      .leader = m->from,
                                                      .leader_term = m->term,
                                                      .index = m->commit,
                                                      .our_index = log_last(&raft->log)});
        (void)follow_commit(raft, m->commit);
        return raft_send(raft, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_REPLY,
                                               .to = m->from,
                                               .context = m->context});
}
