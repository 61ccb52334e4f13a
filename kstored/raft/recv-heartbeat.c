/* The leader lives; it also tells what of our log is committed for sure. */
#include "kstored/raft/core.h"

int recv_heartbeat(struct raft *r, const struct raft_message *m) {
        (void)follow_commit(r, m->commit);
        return raft_send(r, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_REPLY,
                                            .to = m->from,
                                            .context = m->context});
}
