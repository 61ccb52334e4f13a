/* The leader's answer to our reader. */
#include "kstored/raft/core.h"

int recv_read_index_reply(struct raft *r, const struct raft_message *m) {
        return read_finish(r, 0, m->context, m->reject ? 0 : m->log_index);
}
