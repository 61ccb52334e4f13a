/* A member was asked to move leadership and passes that on. */
#include "kstored/raft/core.h"

int recv_transfer(struct raft *r, const struct raft_message *m) {
        if (r->role == RAFT_LEADER)
                (void)raft_transfer(r, m->context);
        return 0;
}
