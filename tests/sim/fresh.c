/* Members that begin empty ask the others before they take part, as kstored/server/first-life.c
 * does; and some that have taken part lose all their data and begin so again. */
#include "kstored/server/first-life-judge.h"
#include "tests/sim/sim.h"

enum { PATIENCE = 20 };

static void give_up(struct world *w, struct node *n) {
        trace(w, "member %u has lost its data: it must be replaced", n->number);
        w->count.refused++;
        node_stop(w, n);
        n->phase = NODE_LOST;
}

static void on_answer(struct world *w, struct node *n, void *data, uint64_t number) {
        enum first_life_answer answers[NODES_MAX];
        size_t others = 0;

        if (!n->replica->fresh)
                return;
        n->first_answers[number >> 8] = (enum first_life_answer)(number & 0xff);
        for (unsigned i = 0; i < w->founders; i++)
                if (i != n->number)
                        answers[others++] = (enum first_life_answer)n->first_answers[i];
        switch (first_life_judge(answers, others, 0)) {
        case FIRST_LIFE_WAIT:
                return;
        case FIRST_LIFE_CONFIRMED:
                trace(w, "member %u is confirmed", n->number);
                replica_confirm(n->replica);
                break;
        case FIRST_LIFE_REFUSED:
                give_up(w, n);
                return;
        }
        node_turn(w, n);
}

/* Runs at the member that is asked; number: the one that asks. */
static void on_question(struct world *w, struct node *n, void *data, uint64_t number) {
        struct node *asker = &w->nodes[number];
        enum first_life_answer a = replica_knows(n->replica, asker->id) ? FIRST_LIFE_KNOWS
                                   : replica_is_new(n->replica)         ? FIRST_LIFE_NEW
                                                                        : FIRST_LIFE_RUNS;

        if (asker->phase == NODE_UP && network_reaches(w, n, asker))
                after(w, delay_us(w, 50, w->network.usual_us), asker, on_answer, NULL, NULL,
                                (uint64_t)n->number << 8 | a);
}

/* number: how often it has asked since everything healed. */
static void ask(struct world *w, struct node *n, void *data, uint64_t number) {
        if (!n->replica->fresh)
                return;
        if (number > PATIENCE) { /* those that it was begun with are gone */
                give_up(w, n);
                return;
        }
        memset(n->first_answers, FIRST_LIFE_SILENT, sizeof(n->first_answers));
        for (unsigned i = 0; i < w->founders; i++) {
                struct node *x = &w->nodes[i];

                if (x != n && x->phase == NODE_UP && network_reaches(w, n, x))
                        after(w, delay_us(w, 50, w->network.usual_us), x, on_question, NULL, NULL,
                                        n->number);
        }
        after(w, between(w, 300 * MS, 500 * MS), n, ask, NULL, NULL, w->healing ? number + 1 : 0);
}

void fresh_started(struct world *w, struct node *n) {
        if (n->replica->fresh)
                after(w, delay_us(w, 1 * MS, 50 * MS), n, ask, NULL, NULL, 0);
}

void founders_members(struct world *w, struct node *n) {
        for (unsigned k = 0; k < w->founders; k++) {
                struct member m = {.id = w->nodes[k].id};
                _cleanup_buf_ struct buf b = {0};

                (void)member_encode(&m, &b);
                assert(member_decode(b.data, b.size, &n->members[n->member_count++]) >= 0);
        }
}

static void come_back(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *n = data;

        if (n->phase == NODE_DOWN && n->life == number)
                node_start(w, n);
}

void node_wipe(struct world *w, struct node *n) {
        trace(w, "member %u loses its data directory", n->number);
        w->count.wipes++;
        node_stop(w, n);
        device_done(&n->device);
        n->device = (struct device){.number = n->number, .writing_at = SIZE_MAX};
        node_forget_promises(n);
        founders_members(w, n);
        /* Messages in flight when it stopped do not arrive after its next start. */
        after(w, between(w, 2500 * MS, 4000 * MS), NULL, come_back, n, NULL, n->life);
}
