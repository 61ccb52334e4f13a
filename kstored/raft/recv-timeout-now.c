/* The leader hands over. Dissertation, section 3.10: the target starts an election at once, as if
 * its election timeout had passed, and without PreVote, which members that hear from a leader would
 * refuse. */
#include "kstored/raft/internal.h"

int recv_timeout_now(struct raft *raft, const struct raft_message *m) {
        if (raft->role != RAFT_FOLLOWER || m->from != raft->leader)
                return 0;
        return campaign(raft, CAMPAIGN_TRANSFER);
}
