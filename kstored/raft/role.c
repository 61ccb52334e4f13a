/* Changes of role, and elections. PreVote (dissertation, section 9.6): before it raises the term, a
 * member asks whether it could win, so that one that was cut off does not disturb others when it
 * returns.
 */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <stdlib.h>

/* xorshift64*: all chance comes from the seed. */
static uint64_t chance_next(struct raft *raft) {
        uint64_t x = raft->chance;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        raft->chance = x;
        return x * 2685821657736338717ULL;
}

static void reset(struct raft *raft, uint64_t term) {
        if (term != raft->term) {
                raft->term = term;
                raft->vote = 0;
                raft->state_dirty = true;
        }
        raft->leader = 0;
        raft->election_elapsed = 0;
        raft->heartbeat_elapsed = 0;
        raft->election_timeout =
                        raft->election_ticks + (unsigned)(chance_next(raft) % raft->election_ticks);
        raft->transfer_to = 0;
        reads_drop(raft);
        for (size_t i = 0; i < raft->peer_count; i++) {
                progress_reset(raft->peers[i], log_last(&raft->log) + 1);
                raft->peers[i]->voted = raft->peers[i]->granted = false;
                raft->peers[i]->active = raft->peers[i]->id == raft->id;
                if (raft->peers[i]->id == raft->id)
                        raft->peers[i]->match = raft->log.saved;
        }
}

void become_follower(struct raft *raft, uint64_t term, uint64_t leader) {
        reset(raft, term);
        raft->role = RAFT_FOLLOWER;
        raft->leader = leader;
}

int become_leader(struct raft *raft) {
        struct raft_entry *e;
        int r;

        reset(raft, raft->term);
        raft->role = RAFT_LEADER;
        raft->leader = raft->id;
        for (size_t i = 0; i < raft->peer_count; i++)
                raft->peers[i]->active = true;
        /* Entries of earlier terms commit only through one of this term (dissertation, section
         * 3.6.2). */
        e = raft_entry_new(0, 0, RAFT_ENTRY_NORMAL, NULL, 0);
        if (!e)
                return -ENOMEM;
        r = append_local(raft, e);
        return r < 0 ? r : broadcast_append(raft);
}

int count_votes(struct raft *raft) {
        size_t yes = 0, no = 0;

        for (size_t i = 0; i < raft->peer_count; i++) {
                if (raft->peers[i]->learner || !raft->peers[i]->voted)
                        continue;
                if (raft->peers[i]->granted)
                        yes++;
                else
                        no++;
        }
        if (yes >= raft_quorum(raft))
                return raft->role == RAFT_PRE_CANDIDATE ? campaign(raft, CAMPAIGN_REAL)
                                                        : become_leader(raft);
        if (no >= raft_quorum(raft))
                become_follower(raft, raft->term, 0);
        return 0;
}

/* A voter may, and so may one whose own removal is not committed yet: the others may lack that
 * entry, so nobody else could win (dissertation, section 4.2.2). */
bool may_campaign(const struct raft *raft) {
        const struct raft_config *before;

        /* A new member was given the list of members, which may be newer than anything that others
         * have committed. Until it has entries of theirs, votes for it would prove nothing. */
        if (raft_get_config(raft)->index > log_last(&raft->log) && !bug(BUG_NEWCOMER_STANDS))
                return false;
        if (raft_is_voter(raft, raft->id))
                return true;
        if (!config_change_pending(raft) || raft->config_count < 2)
                return false;
        before = &raft->configs[raft->config_count - 2];
        for (size_t i = 0; i < before->count; i++)
                if (before->members[i].id == raft->id)
                        return !before->members[i].learner;
        return false;
}

int campaign(struct raft *raft, enum campaign_kind kind) {
        bool pre = kind == CAMPAIGN_PRE;
        struct progress *self;
        int r = 0;

        if (!may_campaign(raft))
                return 0;
        reset(raft, pre ? raft->term : raft->term + 1);
        raft->role = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
        if (!pre) {
                raft->vote = raft->id;
                raft->state_dirty = true;
        }
        self = peer_find(raft, raft->id);
        if (self)
                self->voted = self->granted = true;
        /* This member's own vote counts when it is durable, as any other: see raft_saved().
         * Otherwise a crash could let it vote twice in one term. */
        if (self && raft_quorum(raft) == 1)
                return pre ? count_votes(raft) : 0;
        for (size_t i = 0; i < raft->peer_count && r >= 0; i++) {
                struct progress *p = raft->peers[i];

                if (p->learner || p->id == raft->id)
                        continue;
                r = raft_send(raft, (struct raft_message){
                                                    .type = pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
                                                    .to = p->id,
                                                    .term = pre ? raft->term + 1 : raft->term,
                                                    .log_index = log_last(&raft->log),
                                                    .log_term = log_term(&raft->log,
                                                                    log_last(&raft->log)),
                                                    .context = kind == CAMPAIGN_TRANSFER});
        }
        return r;
}
