/* Faults of machines, disks, networks and clocks, at random, until the world heals. */
#include "kstored/raft/internal.h"
#include "tests/sim/sim.h"

static struct node *up(struct world *w) {
        return some_node(w);
}

static void crash_one(struct world *w) {
        struct node *n = one_in(w, 2) ? a_leader(w) : up(w);

        if (n)
                node_crash(w, n, one_in(w, 2) ? CRASH_KILL : CRASH_POWER);
}

static void trip(struct world *w, struct node *n, void *data, uint64_t number) {
        struct node *leader = a_leader(w);

        node_crash(w, n, CRASH_POWER);
        if (leader && leader->phase == NODE_UP && one_in(w, 2))
                node_crash(w, leader, CRASH_POWER);
}

static void start_to_trip(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *n = data;

        if (n->phase != NODE_DOWN || n->life != number)
                return;
        node_start(w, n);
        if (n->phase == NODE_UP)
                after(w, between(w, 5 * MS, 150 * MS), n, trip, NULL, NULL, 0);
}

/* A killed process leaves unsynced writes: the next one builds on them, then the power fails. */
static void stumble(struct world *w) {
        struct node *n = NULL;

        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].phase == NODE_UP && w->nodes[i].save && (!n || one_in(w, 2)))
                        n = &w->nodes[i];
        if (!n)
                return;
        node_crash(w, n, CRASH_KILL);
        after(w, between(w, 1 * MS, 20 * MS), NULL, start_to_trip, n, NULL, n->life);
}

static void crash_many(struct world *w) {
        bool all = one_in(w, 3);

        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].phase == NODE_UP && (all || one_in(w, 2)))
                        node_crash(w, &w->nodes[i], CRASH_POWER);
}

static void pause_one(struct world *w) {
        struct node *n = one_in(w, 2) ? a_leader(w) : up(w);

        if (!n)
                return;
        n->paused_until_us = w->now_us + between(w, 50 * MS, 3000 * MS);
        trace(w, "member %u is paused", n->number);
}

static void mend(struct world *w, struct node *none, void *data, uint64_t number) {
        memset(w->network.cut, 0, sizeof(w->network.cut));
        trace(w, "the network is whole");
        for (unsigned i = 0; i < w->node_count; i++)
                if (w->nodes[i].phase == NODE_UP && w->nodes[i].paused_until_us <= w->now_us) {
                        raft_hurry(w->nodes[i].replica->raft, 0);
                        node_turn(w, &w->nodes[i]);
                }
}

static void cut(struct world *w) {
        bool one_way = one_in(w, 3);
        uint64_t side = chance(w);
        struct node *alone = one_in(w, 3) ? a_leader(w) : NULL;

        w->count.partitions++;
        for (unsigned a = 0; a < NODES_MAX; a++)
                for (unsigned b = 0; b < NODES_MAX; b++) {
                        bool x = alone ? a == alone->number : (side >> a) & 1;
                        bool y = alone ? b == alone->number : (side >> b) & 1;

                        w->network.cut[a][b] = one_way ? x && !y : x != y;
                }
        trace(w, "the network is cut%s", one_way ? " one way" : "");
        after(w, between(w, 100 * MS, 3000 * MS), NULL, mend, NULL, NULL, 0);
}

static void hurt_disk(struct world *w) {
        struct node *n = up(w);

        if (!n)
                return;
        switch (below(w, 4)) {
        case 0:
                n->disk_full_until_us = w->now_us + between(w, 100 * MS, 4000 * MS);
                trace(w, "the disk of member %u is full", n->number);
                break;
        case 1:
                n->disk_fails = true;
                break;
        default:
                n->disk_slow_us = one_in(w, 3) ? 0 : between(w, 5 * MS, 900 * MS);
                trace(w, "the disk of member %u is slower by %llu us", n->number,
                                (unsigned long long)n->disk_slow_us);
        }
}

/* Whether a disk may be lost: the others can do without, and nobody is about to leave. */
static bool can_lose(struct world *w, const struct node *n) {
        struct node *leader = a_leader(w);

        if (!leader || !n || n->replica->state->member_count < 3 || !members_all_sound(w))
                return false;
        for (unsigned i = 0; i < w->node_count; i++) {
                const struct node *x = &w->nodes[i];

                if (x->phase == NODE_DOWN || (x->phase == NODE_UP && x->replica->fresh) ||
                                (x->phase == NODE_UNUSED && i < w->founders))
                        return false;
                if (x->phase == NODE_UP && (config_change_pending(x->replica->raft) || x->removed))
                        return false;
        }
        return raft_voter_count(leader->replica->raft) >= 3 &&
               leader->replica->state->member_count <= raft_voter_count(leader->replica->raft);
}

/* One member's disk is lost for good. */
static void rot(struct world *w) {
        struct node *n = up(w);

        if (!can_lose(w, n))
                return;
        w->count.rots++;
        trace(w, "the disk of member %u rots", n->number);
        node_crash(w, n, CRASH_KILL);
        n->rotten = device_rot(w, &n->device);
}

/* A data directory is deleted, and the member is started again as if it were the first time. */
static void wipe(struct world *w) {
        struct node *n = up(w);

        /* One that was begun alone has nobody to ask: kstored/service/peer.c finds it otherwise. */
        if (w->founders > 1 && can_lose(w, n) && n->number < w->founders && !n->joining)
                node_wipe(w, n);
}

static void upset_clock(struct world *w) {
        struct node *n = up(w);
        uint64_t jump = one_in(w, 3) ? between(w, 1 * MS, 5000 * MS) : 0;

        if (!n)
                return;
        node_clock_set(n, between(w, 930000, 1070000), jump);
        w->jumped_us += jump;
        trace(w, "the clock of member %u jumps by %llu ms", n->number,
                        (unsigned long long)jump / MS);
}

static void transfer(struct world *w) {
        struct node *n = up(w);
        struct node *to = up(w);

        if (!n)
                return;
        trace(w, "member %u is asked to move leadership", n->number);
        (void)raft_transfer(n->replica->raft, to && one_in(w, 2) ? to->id : 0);
        node_turn(w, n);
}

static void worsen_network(struct world *w) {
        w->network.loss_percent = one_in(w, 2) ? 0 : (unsigned)below(w, 30);
        w->network.doubled_percent = one_in(w, 2) ? 0 : (unsigned)below(w, 20);
        w->network.usual_us = one_in(w, 3) ? 100 * MS : 2 * MS;
}

static void next(struct world *w, struct node *none, void *data, uint64_t number) {
        static void (*const faults[])(struct world *) = {crash_one, crash_one, crash_one,
                        crash_many, pause_one, pause_one, cut, cut, cut, hurt_disk, hurt_disk,
                        upset_clock, transfer, worsen_network, rot, wipe, stumble, stumble};

        if (w->healing)
                return;
        faults[below(w, ELEMENTS(faults))](w);
        after(w, between(w, 20 * MS, w->fault_us), NULL, next, NULL, NULL, 0);
}

void faults_start(struct world *w) {
        after(w, between(w, 500 * MS, 2 * SECOND), NULL, next, NULL, NULL, 0);
}

void faults_heal(struct world *w) {
        w->network.loss_percent = w->network.doubled_percent = 0;
        w->network.usual_us = 2 * MS;
        for (unsigned i = 0; i < w->node_count; i++) {
                w->nodes[i].disk_full_until_us = w->nodes[i].disk_slow_us = 0;
                w->nodes[i].disk_fails = false;
                w->nodes[i].paused_until_us = 0;
        }
        mend(w, NULL, NULL, 0);
}
