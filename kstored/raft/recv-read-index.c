/* A member asks for a read barrier. Dissertation, section 6.4: the leader notes its commit index
 * and answers when a majority has confirmed that it still leads. */
#include "kstored/raft/internal.h"

int recv_read_index(struct raft *raft, const struct raft_message *m) {
        const struct pending_read read = {
                        .from = m->from, .context = m->context, .asked = m->commit};

        if (raft->role != RAFT_LEADER)
                return read_finish(raft, &read, 0);
        return read_begin(raft, &read);
}
