/* Changes of role, and elections. PreVote (dissertation, section 9.6): before it raises the term, a
 * member asks whether it could win, so that one that was cut off does not disturb others when it
 * returns.
 */
#include "kstored/raft/internal.h"

#include <errno.h>
#include <stdlib.h>

/* xorshift64*: all chance comes from the seed. */
static uint64_t chance_next(struct raft *r) {
        uint64_t x = r->chance;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        r->chance = x;
        return x * 2685821657736338717ULL;
}

static void reset(struct raft *r, uint64_t term) {
        if (term != r->term) {
                r->term = term;
                r->vote = 0;
                r->state_dirty = true;
        }
        r->leader = 0;
        r->election_elapsed = 0;
        r->heartbeat_elapsed = 0;
        r->election_timeout = r->election_ticks + (unsigned)(chance_next(r) % r->election_ticks);
        r->transfer_to = 0;
        reads_drop(r);
        for (size_t i = 0; i < r->peer_count; i++) {
                progress_reset(r->peers[i], log_last(&r->log) + 1);
                r->peers[i]->voted = r->peers[i]->granted = false;
                r->peers[i]->active = r->peers[i]->id == r->id;
                if (r->peers[i]->id == r->id)
                        r->peers[i]->match = r->log.saved;
        }
}

void become_follower(struct raft *r, uint64_t term, uint64_t leader) {
        reset(r, term);
        r->role = RAFT_FOLLOWER;
        r->leader = leader;
}

int become_leader(struct raft *r) {
        struct raft_entry *e;
        int q;

        reset(r, r->term);
        r->role = RAFT_LEADER;
        r->leader = r->id;
        for (size_t i = 0; i < r->peer_count; i++)
                r->peers[i]->active = true;
        /* Entries of earlier terms commit only through one of this term (dissertation, section
         * 3.6.2). */
        e = raft_entry_new(0, 0, RAFT_ENTRY_NORMAL, NULL, 0);
        if (!e)
                return -ENOMEM;
        q = append_local(r, e);
        return q < 0 ? q : broadcast_append(r);
}

int count_votes(struct raft *r) {
        size_t yes = 0, no = 0;

        for (size_t i = 0; i < r->peer_count; i++) {
                if (r->peers[i]->learner || !r->peers[i]->voted)
                        continue;
                if (r->peers[i]->granted)
                        yes++;
                else
                        no++;
        }
        if (yes >= raft_quorum(r))
                return r->role == RAFT_PRE_CANDIDATE ? campaign(r, CAMPAIGN_REAL)
                                                     : become_leader(r);
        if (no >= raft_quorum(r))
                become_follower(r, r->term, 0);
        return 0;
}

/* A voter may, and so may one whose own removal is not committed yet: the others may lack that
 * entry, so nobody else could win (dissertation, section 4.2.2). */
bool may_campaign(const struct raft *r) {
        const struct raft_config *before;

        /* A new member was given the list of members, which may be newer than anything that others
         * have committed. Until it has entries of theirs, votes for it would prove nothing. */
        if (raft_get_config(r)->index > log_last(&r->log) && !bug(BUG_NEWCOMER_STANDS))
                return false;
        if (raft_is_voter(r, r->id))
                return true;
        if (!config_change_pending(r) || r->config_count < 2)
                return false;
        before = &r->configs[r->config_count - 2];
        for (size_t i = 0; i < before->count; i++)
                if (before->members[i].id == r->id)
                        return !before->members[i].learner;
        return false;
}

int campaign(struct raft *r, enum campaign_kind kind) {
        bool pre = kind == CAMPAIGN_PRE;
        struct progress *self;
        int e = 0;

        if (!may_campaign(r))
                return 0;
        reset(r, pre ? r->term : r->term + 1);
        r->role = pre ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
        if (!pre) {
                r->vote = r->id;
                r->state_dirty = true;
        }
        self = peer_find(r, r->id);
        if (self)
                self->voted = self->granted = true;
        /* This member's own vote counts when it is durable, as any other: see raft_saved().
         * Otherwise a crash could let it vote twice in one term. */
        if (self && raft_quorum(r) == 1)
                return pre ? count_votes(r) : 0;
        for (size_t i = 0; i < r->peer_count && e >= 0; i++) {
                struct progress *p = r->peers[i];

                if (p->learner || p->id == r->id)
                        continue;
                e = raft_send(r, (struct raft_message){
                                                 .type = pre ? RAFT_MSG_PRE_VOTE : RAFT_MSG_VOTE,
                                                 .to = p->id,
                                                 .term = pre ? r->term + 1 : r->term,
                                                 .log_index = log_last(&r->log),
                                                 .log_term = log_term(&r->log, log_last(&r->log)),
                                                 .context = kind == CAMPAIGN_TRANSFER});
        }
        return e;
}
