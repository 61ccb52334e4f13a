/* A member was asked to move leadership (dissertation, section 3.10) and passes that on to the
 * leader. */
#include "kstored/raft/internal.h"

int recv_transfer(struct raft *r, const struct raft_message *m) {
        if (r->role == RAFT_LEADER)
                (void)raft_transfer(r, m->context);
        return 0;
}
