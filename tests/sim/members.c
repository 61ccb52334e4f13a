/* Members that come and go, and those whose disk is lost: changes as an administrator makes them
 * with etcdctl, with the checks of service-cluster.c. */
#include "kstored/raft/internal.h"
#include "tests/sim/sim.h"

enum { VOTERS_MAX = 7 };

struct node *node_new(struct world *w) {
        struct node *n;

        if (w->node_count == NODES_MAX)
                return NULL;
        n = &w->nodes[w->node_count];
        n->world = w;
        n->number = w->node_count++;
        n->id = 0x100 + (chance(w) >> 40) * 256 + n->number; /* in no order */
        n->device.number = n->number;
        n->device.writing_at = SIZE_MAX;
        return n;
}

struct node *node_of(struct world *w, uint64_t id) {
        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].id == id)
                        return &w->nodes[i];
        return NULL;
}

struct node *a_leader(struct world *w) {
        struct node *best = NULL;

        for (unsigned i = 0; i < w->node_count; i++) {
                struct node *n = &w->nodes[i];

                if (node_leads(n) && (!best || n->replica->raft->term > best->replica->raft->term))
                        best = n;
        }
        return best;
}

bool members_all_sound(const struct world *w) {
        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].phase == NODE_LOST && !w->nodes[i].removed)
                        return false;
        return true;
}

static int propose(struct node *leader, enum raft_change_op op, uint64_t id, bool learner) {
        struct raft_change change = {.op = op, .id = id};
        struct member m = {.id = id, .learner = learner};
        _cleanup_buf_ struct buf b = {0};
        int r;

        if (op != RAFT_REMOVE)
                (void)member_encode(&m, &b);
        r = raft_propose_change(leader->replica->raft, &change, b.data, b.size);
        trace(leader->world, "member %u is asked for change %d of %llx: %s", leader->number,
                        (int)op, (unsigned long long)id, r < 0 ? strerror(-r) : "begun");
        return r;
}

/* Once its addition was agreed on; or when nothing goes without it, whatever became of that. */
static bool may_start(struct world *w, const struct node *n) {
        return n->phase == NODE_UNUSED && n->number >= w->founders &&
               (n->added || (!a_leader(w) && one_in(w, 4)));
}

/* A new member asks another for the members (join.c). */
static void start_new(struct world *w) {
        struct node *asked = some_node(w), *fresh = NULL;
        struct member *v[RAFT_MEMBERS_MAX];
        size_t count;

        if (!asked || asked->removed)
                return;
        assert(replica_members(asked->replica, v, &count) >= 0);
        for (size_t i = 0; i < count && !fresh; i++)
                if (may_start(w, node_of(w, v[i]->id)))
                        fresh = node_of(w, v[i]->id);
        if (!fresh) {
                while (count > 0)
                        member_free(v[--count]);
                return;
        }
        memcpy(fresh->members, v, count * sizeof(v[0]));
        fresh->member_count = count;
        fresh->joining = true;
        fresh->config_index = raft_get_config(asked->replica->raft)->index;
        node_start(w, fresh);
}

bool in_config(const struct node *n, uint64_t id) {
        const struct raft_config *c = raft_get_config(n->replica->raft);

        for (uint32_t i = 0; i < c->count; i++)
                if (c->members[i].id == id)
                        return true;
        return false;
}

static void retire(struct world *w) {
        for (unsigned i = 0; i < w->node_count; i++) {
                struct node *n = &w->nodes[i];

                /* One whose addition came to nothing after all goes, too. */
                bool stranded = w->healing && n->phase == NODE_UP && n->joining && !n->added &&
                                a_leader(w) && !in_config(a_leader(w), n->id);

                if (!stranded && (!n->removed || (!w->healing && !one_in(w, 6))))
                        continue;
                if (n->phase == NODE_UP)
                        node_stop(w, n);
                if (n->phase != NODE_UNUSED)
                        n->phase = NODE_RETIRED;
        }
}

static bool learner_ready(const struct node *leader, uint64_t id) {
        struct raft_progress_view v[RAFT_MEMBERS_MAX];
        size_t n = raft_get_progress(leader->replica->raft, v, ELEMENTS(v));

        for (size_t i = 0; i < n; i++)
                if (v[i].id == id)
                        return v[i].active && !v[i].snapshot &&
                               v[i].match * 10 >= log_last(&leader->replica->raft->log) * 9;
        return false;
}

struct census {
        unsigned voters, learners, up, lost;
        uint64_t a_learner, a_lost, a_voter; /* one of them */
};

static struct census take_census(struct world *w, const struct state *s) {
        struct census c = {0};

        for (size_t i = 0; i < s->member_count; i++) {
                const struct node *n = node_of(w, s->members[i]->id);

                if (n->phase == NODE_LOST) {
                        c.lost++;
                        c.a_lost = n->id;
                }
                if (s->members[i]->learner) {
                        c.learners++;
                        c.a_learner = n->id;
                        continue;
                }
                c.voters++;
                c.up += n->phase == NODE_UP;
                if (one_in(w, c.voters))
                        c.a_voter = n->id;
        }
        return c;
}

static void add(struct world *w, struct node *leader, const struct census *c) {
        bool learner = c->learners == 0 && one_in(w, 2);
        struct node *n = NULL;

        for (unsigned i = 0; i < w->node_count; i++) /* one whose addition came to nothing */
                if (i >= w->founders && w->nodes[i].phase == NODE_UNUSED && !w->nodes[i].removed)
                        n = &w->nodes[i];
        if (!n)
                n = node_new(w);
        if (n)
                (void)propose(leader, learner ? RAFT_ADD_LEARNER : RAFT_ADD_VOTER, n->id, learner);
}

static void change(struct world *w, struct node *leader) {
        struct census c = take_census(w, leader->replica->state);

        if (c.lost > 0) {
                (void)propose(leader, RAFT_REMOVE, c.a_lost, false);
                return;
        }
        if (c.learners > 0 && (w->healing || one_in(w, 2)) && learner_ready(leader, c.a_learner)) {
                (void)propose(leader, RAFT_ADD_VOTER, c.a_learner, false);
                return;
        }
        if (w->healing || (!w->calm && one_in(w, 2)) || !members_all_sound(w))
                return;
        if (c.voters < VOTERS_MAX && c.up == c.voters && (c.voters < 4 || one_in(w, 2)))
                add(w, leader, &c);
        else if (c.voters > 3 && c.up >= c.voters - 1)
                (void)propose(leader, RAFT_REMOVE, one_in(w, 4) ? leader->id : c.a_voter, false);
}

static void next(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *leader = a_leader(w);

        retire(w);
        start_new(w);
        if (leader && leader->phase == NODE_UP)
                change(w, leader);
        if (leader && leader->phase == NODE_UP)
                node_turn(w, leader);
        after(w, between(w, 20 * MS, w->healing ? 500 * MS : w->change_us), NULL, next, NULL, NULL,
                        0);
}

void members_start(struct world *w) {
        after(w, between(w, 1 * SECOND, 3 * SECOND), NULL, next, NULL, NULL, 0);
}
