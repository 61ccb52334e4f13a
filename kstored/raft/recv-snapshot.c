/* A whole state from the leader. Raft paper, section 7: a member whose log holds the snapshot's
 * last entry already keeps its log; otherwise the snapshot replaces the whole log, and the members
 * are those that came with it. The driver has verified the state before it steps this message;
 * ready.restored tells it to put it in place. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>

int recv_snapshot(struct raft *raft, const struct raft_message *m) {
        int r = check_against_committed(raft, m, m->log_index, m->log_term);

        if (r < 0)
                return r;
        /* One that brings nothing new may come without its members. */
        if (m->log_index <= raft->log.commit)
                return raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                       .to = m->from,
                                                       .log_index = raft->log.commit});
        /* A late one: entries after it may be here and counted as held, so the log stays. */
        if (log_term(&raft->log, m->log_index) == m->log_term) {
                r = follow_commit(raft, m->log_index);
                return r < 0 ? r
                             : raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                               .to = m->from,
                                                               .log_index = m->log_index});
        }
        if (!m->config || m->config->count == 0 || m->config->count > RAFT_MEMBERS_MAX)
                return -EBADMSG;
        log_reset(&raft->log, m->log_index, m->log_term);
        raft->config_count = 0;
        r = config_push(raft, m->config);
        if (r < 0)
                return r;
        assert(raft->log.commit == m->log_index && log_last(&raft->log) == m->log_index);
        raft->restored = true;
        raft->state_dirty = true;
        return raft_send(raft, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                               .to = m->from,
                                               .log_index = m->log_index});
}
