/* The leader hands over. Dissertation, section 3.10: the target starts an election at once, as if
 * its election timeout had passed, and without PreVote, which members that hear from a leader would
 * refuse. */
#include "kstored/raft/internal.h"

int recv_timeout_now(struct raft *r, const struct raft_message *m) {
        if (r->role != RAFT_FOLLOWER || m->from != r->leader)
                return 0;
        return campaign(r, CAMPAIGN_TRANSFER);
}
