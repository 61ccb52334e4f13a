/* A member still follows this leader. Dissertation, section 6.4: a round of heartbeats that a
 * majority has answered confirms the leadership for the reads that wait for it. Raft paper, section
 * 5.3: appends that got lost are sent again. */
#include "kstored/raft/internal.h"

int recv_heartbeat_reply(struct raft *raft, const struct raft_message *m) {
        struct progress *p = peer_find(raft, m->from);
        int r;

        if (!p || raft->role != RAFT_LEADER)
                return 0;
        p->active = true;
        p->paused = false;
        /* Otherwise a full window whose answers were lost would stay full forever. */
        if (p->state == PROGRESS_REPLICATE && p->inflight_count == RAFT_INFLIGHT_MAX)
                progress_free_to(p, p->inflight[p->inflight_start].last);
        if (p->match < log_last(&raft->log) || p->state == PROGRESS_PROBE) {
                r = send_append(raft, p, true);
                if (r < 0)
                        return r;
        }
        if (m->context > p->read_ack && m->context <= raft->read_round) {
                p->read_ack = m->context;
                return read_acked(raft);
        }
        return 0;
}
