/* A disk that silently loses the end of what it had confirmed. No rule of Raft holds then, and
 * acknowledged changes may be lost; but the member that still has them must not follow the others:
 * it answers no fresh read, cuts nothing off, and ends.
 *
 * Of three members c stops, a and b agree on more, both stop, b's disk forgets that; b and c start
 * and agree on other things; a returns. All other checks end where b forgets. */
#include "kstored/raft/internal.h"
#include "tests/sim/sim.h"

enum { PATIENCE_MS = 20000 };

static void again(struct world *w, event_run run, uint64_t number) {
        after(w, 100 * MS, NULL, run, NULL, NULL, number);
}

void forget_check(struct world *w, struct node *n) {
        const struct raft_log *l;

        if (!w->forked || n != w->witness || n->phase != NODE_UP || !n->replica)
                return;
        l = &n->replica->raft->log;
        if (log_last(l) >= w->witness_last && log_term(l, w->witness_last) == w->witness_term)
                return;
        w->forked = false;
        fail(w, "member %u let a leader cut off what was committed: index %llu of term %llu",
                        n->number, (unsigned long long)w->witness_last,
                        (unsigned long long)w->witness_term);
}

void forget_read(struct world *w, struct node *n) {
        if (!w->forked || n != w->witness)
                return;
        w->forked = false;
        fail(w, "member %u answered a read that a leader allowed who has lost what was committed",
                        n->number);
}

static void await_end(struct world *w, struct node *none, void *data, uint64_t number) {
        if (w->witness->contradicted) {
                w->unrest = NULL;
                w->end_at_us = w->now_us;
                return;
        }
        if (number < PATIENCE_MS / 100) {
                again(w, await_end, number + 1);
                return;
        }
        w->forked = false;
        fail(w, "member %u goes along with a leader that has lost what was committed",
                        w->witness->number);
}

static void witness_returns(struct world *w, struct node *none, void *data, uint64_t number) {
        trace(w, "member %u returns, which has all of it", w->witness->number);
        node_start(w, w->witness);
        again(w, await_end, 0);
}

static void others_agree(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *leader = a_leader(w);

        if (!leader || leader->replica->raft->log.commit < log_last(&leader->replica->raft->log)) {
                again(w, others_agree, 0);
                return;
        }
        after(w, between(w, 0, 1500 * MS), NULL, witness_returns, NULL, NULL, 0);
}

static void forget(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *a = w->witness, *b = w->forgetful, *c = w->absent;
        const struct raft *r;

        if (a->phase != NODE_UP || b->phase != NODE_UP || !replica_idle(a->replica) ||
                        !replica_idle(b->replica) ||
                        a->replica->state->applied <= w->forget_above ||
                        b->device.bytes.size <= w->remembered.bytes.size) {
                after(w, 10 * MS, NULL, forget, NULL, NULL, 0);
                return;
        }
        r = a->replica->raft;
        w->witness_last = a->replica->state->applied;
        w->witness_term = log_term(&r->log, w->witness_last);
        node_stop(w, a);
        node_stop(w, b);
        trace(w, "the disk of member %u forgets", b->number);
        w->count.forgotten++;
        w->forked = true;
        device_copy(&b->device, &w->remembered);
        node_forget_promises(b);
        node_start(w, b);
        node_start(w, c);
        again(w, others_agree, 0);
}

static void begin(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *leader = a_leader(w);
        bool ready = leader && !leader->sending;

        for (unsigned i = 0; i < w->founders && ready; i++)
                ready = w->nodes[i].phase == NODE_UP && !w->nodes[i].replica->fresh &&
                        replica_idle(w->nodes[i].replica) &&
                        w->nodes[i].replica->state->applied + 10 >= leader->replica->state->applied;
        if (!ready) {
                after(w, 10 * MS, NULL, begin, NULL, NULL, 0);
                return;
        }
        w->absent = &w->nodes[(leader->number + 1) % 3];
        w->witness = one_in(w, 2) ? leader : &w->nodes[(leader->number + 2) % 3];
        w->forgetful = w->witness == leader ? &w->nodes[(leader->number + 2) % 3] : leader;
        w->forget_above = MAX(log_last(&w->absent->replica->raft->log),
                        log_last(&w->forgetful->replica->raft->log));
        trace(w, "member %u stops; %u will forget what comes now", w->absent->number,
                        w->forgetful->number);
        node_stop(w, w->absent);
        device_copy(&w->remembered, &w->forgetful->device);
        after(w, between(w, 300 * MS, 1500 * MS), NULL, forget, NULL, NULL, 0);
}

void forget_start(struct world *w) {
        w->unrest = "no disk has forgotten anything";
        after(w, between(w, 2 * SECOND, 4 * SECOND), NULL, begin, NULL, NULL, 0);
}
