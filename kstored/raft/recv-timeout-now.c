/* The leader hands over: elect us at once, without the courtesy of a pre-vote. */
#include "kstored/raft/core.h"

int recv_timeout_now(struct raft *r, const struct raft_message *m) {
        if (r->role != RAFT_FOLLOWER || m->from != r->leader)
                return 0;
        return campaign(r, CAMPAIGN_TRANSFER);
}
