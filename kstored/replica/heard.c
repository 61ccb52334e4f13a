/* Which members were ever heard. A member whose data directory was deleted would, under its old id,
 * vote a second time and forget what it acknowledged. So each member keeps, durably, which of the
 * others have ever taken part: a member's messages count only once its id is on the disk. A member
 * that begins empty asks for these lists (first-life.c) before it takes part itself. */
#include "kstored/replica/replica.h"

static bool in_config(const struct replica *replica, uint64_t id) {
        const struct raft_config *c = raft_get_config(replica->raft);

        for (uint32_t i = 0; i < c->count; i++)
                if (c->members[i].id == id)
                        return true;
        return state_member(replica->state, id);
}

static bool put(struct replica *replica, uint64_t id, int64_t value, bool remove) {
        struct disk_op op = {.table = DISK_HEARD, .id = id, .value = value, .remove = remove};

        if (disk_batch_op(&replica->state->batch, &op) < 0)
                return false; /* tried again with what comes next */
        replica->state->batch.sync = true;
        return true;
}

/* Removes members that left the cluster. */
static void forget_strangers(struct replica *replica) {
        struct state *s = replica->state;

        for (size_t i = s->heard_count; i-- > 0;)
                if (!in_config(replica, s->heard[i]) && put(replica, s->heard[i], 0, true)) {
                        memmove(&s->heard[i], &s->heard[i + 1],
                                        (s->heard_count - i - 1) * sizeof(s->heard[0]));
                        s->heard_count--;
                        replica->heard_durable -= replica->heard_durable > i;
                }
}

bool replica_hear(struct replica *replica, uint64_t id) {
        struct state *s = replica->state;

        for (size_t i = 0; i < s->heard_count; i++)
                if (s->heard[i] == id)
                        return i < replica->heard_durable;
        if (id == replica->member_id || !in_config(replica, id))
                return true;
        if (s->heard_count == HEARD_MAX)
                forget_strangers(replica);
        if (bug(BUG_HEARD_FORGOTTEN))
                return true;
        if (s->heard_count == HEARD_MAX || !put(replica, id, 1, false))
                return false;
        s->heard[s->heard_count++] = id;
        replica->heard_ticket = replica_flush_ask(replica);
        return false;
}

void replica_heard_written(struct replica *replica) {
        if (!replica_flush_done(replica, replica->heard_ticket))
                return;
        replica->heard_durable = replica->state->heard_count;
        if (replica->confirming) {
                replica->confirming = replica->fresh = false;
                replica->state->unconfirmed = 0;
        }
}

void replica_heard_again(struct replica *replica, const uint64_t *ids, size_t n) {
        replica->heard_durable = replica->state->heard_count; /* what came is on the disk */
        for (size_t i = 0; i < n; i++)
                (void)replica_hear(replica, ids[i]);
}

void replica_confirm(struct replica *replica) {
        if (!replica->fresh || replica->confirming || !put(replica, replica->member_id, 0, true))
                return;
        replica->confirming = true;
        replica->heard_ticket = replica_flush_ask(replica);
}

bool replica_knows(const struct replica *replica, uint64_t id) {
        const struct member *m = state_member(replica->state, id);

        for (size_t i = 0; i < replica->state->heard_count; i++)
                if (replica->state->heard[i] == id)
                        return true;
        return m && m->client_urls; /* only the member itself publishes them */
}

/* The first members are index 1 of term 1; anything agreed on later needs an election. */
bool replica_is_new(const struct replica *replica) {
        struct raft_status status;

        raft_get_status(replica->raft, &status);
        return status.term <= 1 && status.last <= 1;
}
