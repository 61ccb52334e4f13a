/* A member asks on behalf of its reader. */
#include "kstored/raft/core.h"

int recv_read_index(struct raft *r, const struct raft_message *m) {
        if (r->role != RAFT_LEADER)
                return read_finish(r, m->from, m->context, 0);
        return read_begin(r, m->from, m->context);
}
