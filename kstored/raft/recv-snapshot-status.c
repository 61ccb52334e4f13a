/* The driver reports what became of a snapshot that it sent (Raft paper, section 7): arrived, then
 * appends continue after it; failed, then it is tried again. */
#include "kstored/raft/internal.h"

int recv_snapshot_status(struct raft *raft, const struct raft_message *m) {
        struct progress *p = peer_find(raft, m->from);

        if (!p || raft->role != RAFT_LEADER || p->state != PROGRESS_SNAPSHOT)
                return 0;
        if (m->reject)
                p->snapshot_index = 0;
        else if (m->log_index > p->snapshot_index)
                p->snapshot_index = m->log_index; /* the driver sent a newer state than asked for */
        progress_become_probe(p);
        /* Continues with the answer to the next heartbeat, so that a failing receiver is not
         * flooded. */
        p->paused = true;
        return 0;
}
