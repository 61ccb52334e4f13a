/* Proposals that a member passed on to the leader (Raft paper, section 5.1: followers redirect
 * clients; here they forward). The proposer waits with a time limit of its own, so a proposal that
 * cannot be taken is dropped. */
#include "kstored/raft/internal.h"

#include <errno.h>

int recv_propose(struct raft *raft, const struct raft_message *m) {
        if (raft->role != RAFT_LEADER)
                return 0;
        for (size_t i = 0; i < m->entry_count; i++) {
                int r;

                if (m->entries[i]->type != RAFT_ENTRY_NORMAL || m->entries[i]->size == 0)
                        continue;
                r = raft_propose(raft, m->entries[i]->data, m->entries[i]->size);
                if (r == -ENOMEM)
                        return r;
        }
        return 0;
}
