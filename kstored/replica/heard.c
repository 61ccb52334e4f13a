/* Who was ever heard. A member whose data directory was deleted would, under its old id, vote a
 * second time and forget what it acknowledged. So each member keeps, durably, who of the others has
 * ever taken part: what one says counts only once its name is on the disk. A member that begins
 * empty asks for it (first-life.c) before it takes part itself. */
#include "kstored/replica/replica.h"

static bool in_config(const struct replica *r, uint64_t id) {
        const struct raft_config *c = raft_get_config(r->raft);

        for (uint32_t i = 0; i < c->count; i++)
                if (c->members[i].id == id)
                        return true;
        return state_member(r->state, id);
}

static bool put(struct replica *r, uint64_t id, int64_t value, bool remove) {
        struct disk_op op = {.table = DISK_HEARD, .id = id, .value = value, .remove = remove};

        if (disk_batch_op(&r->state->batch, &op) < 0)
                return false; /* tried again with what comes next */
        r->state->batch.sync = true;
        return true;
}

/* Those that left the cluster make room. */
static void forget_strangers(struct replica *r) {
        struct state *s = r->state;

        for (size_t i = s->heard_count; i-- > 0;)
                if (!in_config(r, s->heard[i]) && put(r, s->heard[i], 0, true)) {
                        memmove(&s->heard[i], &s->heard[i + 1],
                                        (s->heard_count - i - 1) * sizeof(s->heard[0]));
                        s->heard_count--;
                        r->heard_durable -= r->heard_durable > i;
                }
}

bool replica_hear(struct replica *r, uint64_t id) {
        struct state *s = r->state;

        for (size_t i = 0; i < s->heard_count; i++)
                if (s->heard[i] == id)
                        return i < r->heard_durable;
        if (id == r->member_id || !in_config(r, id))
                return true;
        if (s->heard_count == HEARD_MAX)
                forget_strangers(r);
        if (bug(BUG_HEARD_FORGOTTEN))
                return true;
        if (s->heard_count == HEARD_MAX || !put(r, id, 1, false))
                return false;
        s->heard[s->heard_count++] = id;
        r->heard_ticket = replica_flush_ask(r);
        return false;
}

void replica_heard_written(struct replica *r) {
        if (!replica_flush_done(r, r->heard_ticket))
                return;
        r->heard_durable = r->state->heard_count;
        if (r->confirming) {
                r->confirming = r->fresh = false;
                r->state->unconfirmed = 0;
        }
}

void replica_heard_again(struct replica *r, const uint64_t *ids, size_t n) {
        r->heard_durable = r->state->heard_count; /* what came is on the disk */
        for (size_t i = 0; i < n; i++)
                (void)replica_hear(r, ids[i]);
}

void replica_confirm(struct replica *r) {
        if (!r->fresh || r->confirming || !put(r, r->member_id, 0, true))
                return;
        r->confirming = true;
        r->heard_ticket = replica_flush_ask(r);
}

bool replica_knows(const struct replica *r, uint64_t id) {
        const struct member *m = state_member(r->state, id);

        for (size_t i = 0; i < r->state->heard_count; i++)
                if (r->state->heard[i] == id)
                        return true;
        return m && m->client_urls; /* only itself says them */
}

/* The first members are index 1 of term 1; whatever is agreed on takes an election. */
bool replica_is_new(const struct replica *r) {
        struct raft_status status;

        raft_get_status(r->raft, &status);
        return status.term <= 1 && status.last <= 1;
}
