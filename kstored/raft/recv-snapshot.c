/* A whole state from the leader. The driver has it at hand (verified) before it steps this message;
 * ready.restored tells it to put it in place. */
#include "kstored/raft/core.h"

#include <errno.h>

int recv_snapshot(struct raft *r, const struct raft_message *m) {
        int q = check_against_committed(r, m, m->log_index, m->log_term);

        if (q < 0)
                return q;
        /* One that brings nothing new is told without its members. */
        if (m->log_index <= r->log.commit)
                return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                    .to = m->from,
                                                    .log_index = r->log.commit});
        /* A late one: entries after it may be here and counted already, so the log stays. */
        if (log_term(&r->log, m->log_index) == m->log_term) {
                q = follow_commit(r, m->log_index);
                return q < 0 ? q
                             : raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                            .to = m->from,
                                                            .log_index = m->log_index});
        }
        if (!m->config || m->config->count == 0 || m->config->count > RAFT_MEMBERS_MAX)
                return -EBADMSG;
        log_reset(&r->log, m->log_index, m->log_term);
        r->config_count = 0;
        q = config_push(r, m->config);
        if (q < 0)
                return q;
        r->restored = true;
        r->state_dirty = true;
        return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                            .to = m->from,
                                            .log_index = m->log_index});
}
