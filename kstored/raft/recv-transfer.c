/* A member was asked to move leadership (dissertation, section 3.10) and passes that on to the
 * leader. */
#include "kstored/raft/internal.h"

int recv_transfer(struct raft *raft, const struct raft_message *m) {
        if (raft->role == RAFT_LEADER)
                (void)raft_transfer(raft, m->context);
        return 0;
}
