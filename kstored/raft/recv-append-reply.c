/* A member's answer to the leader's entries. Raft paper, section 5.3: after a refusal the leader
 * moves nextIndex back and tries again; after a success it updates nextIndex and matchIndex.
 * Sections 5.3 and 5.4.2: an entry of the current term that a majority holds is committed.
 * Dissertation, section 3.10: a transfer target that has the whole log is sent TimeoutNow. */
#include "kstored/raft/internal.h"

#include <assert.h>

static int refused(struct raft *raft, struct progress *p, const struct raft_message *m) {
        uint64_t next;

        /* Stale: a later append was answered already. */
        if (p->state == PROGRESS_REPLICATE ? m->log_index <= p->match : m->log_index != p->next - 1)
                return 0;
        next = m->hint_index;
        if (m->hint_term > 0)
                next = log_find_conflict(&raft->log, m->hint_index, m->hint_term);
        if (p->state == PROGRESS_REPLICATE)
                progress_become_probe(p);
        else
                p->next = (next + 1 < p->next ? next + 1 : p->next - 1);
        if (p->next <= p->match)
                p->next = p->match + 1;
        p->paused = false;
        assert(p->next > p->match);
        return send_append(raft, p, true);
}

int recv_append_reply(struct raft *raft, const struct raft_message *m) {
        struct progress *p = peer_find(raft, m->from);
        bool was_paused;
        int r;

        if (!p || raft->role != RAFT_LEADER)
                return 0;
        p->active = true;
        if (m->reject)
                return refused(raft, p, m);
        if (m->log_index > log_last(&raft->log))
                return 0;
        was_paused = progress_paused(p);
        if (!progress_update(p, m->log_index) && p->state != PROGRESS_PROBE)
                return 0;
        if (p->state == PROGRESS_PROBE)
                progress_become_replicate(p);
        else if (p->state == PROGRESS_SNAPSHOT && p->match + 1 > raft->log.base_index) {
                progress_become_probe(p);
                progress_become_replicate(p);
        } else if (p->state == PROGRESS_REPLICATE)
                progress_free_to(p, p->match);
        r = maybe_commit(raft);
        if (r > 0) {
                r = read_started_term(raft);
                for (size_t i = 0; i < raft->peer_count && r >= 0; i++)
                        if (raft->peers[i]->id != raft->id)
                                r = send_append(raft, raft->peers[i], true);
        } else if (r == 0)
                r = send_append(raft, p, was_paused);
        if (r >= 0 && raft->transfer_to == p->id && p->match == log_last(&raft->log))
                r = raft_send_now(raft,
                                (struct raft_message){.type = RAFT_MSG_TIMEOUT_NOW, .to = p->id});
        return r < 0 ? r : 0;
}
