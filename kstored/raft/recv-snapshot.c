/* A whole state from the leader. Raft paper, section 7: a member whose log holds the snapshot's
 * last entry already keeps its log; otherwise the snapshot replaces the whole log, and the members
 * are those that came with it. The driver has verified the state before it steps this message;
 * ready.restored tells it to put it in place. */
#include "kstored/raft/internal.h"

#include <assert.h>
#include <errno.h>

int recv_snapshot(struct raft *r, const struct raft_message *m) {
        int q = check_against_committed(r, m, m->log_index, m->log_term);

        if (q < 0)
                return q;
        /* One that brings nothing new may come without its members. */
        if (m->log_index <= r->log.commit)
                return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                                    .to = m->from,
                                                    .log_index = r->log.commit});
        /* A late one: entries after it may be here and counted as held, so the log stays. */
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
        assert(r->log.commit == m->log_index && log_last(&r->log) == m->log_index);
        r->restored = true;
        r->state_dirty = true;
        return raft_send(r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY,
                                            .to = m->from,
                                            .log_index = m->log_index});
}
