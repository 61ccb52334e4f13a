/* Events in the order of their time, chance, and one whole run. */
#include "tests/sim/sim.h"

#include <stdarg.h>

enum { EVENTS_MAX = 1000000 }; /* a run has ten thousand or so */

uint64_t chance(struct world *w) {
        uint64_t x = w->chance;

        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        w->chance = x;
        return x * 2685821657736338717ULL;
}

uint64_t below(struct world *w, uint64_t n) {
        return (chance(w) >> 11) % n;
}

uint64_t between(struct world *w, uint64_t a, uint64_t b) {
        return a + below(w, b - a + 1);
}

bool one_in(struct world *w, uint64_t n) {
        return below(w, n) == 0;
}

uint64_t delay_us(struct world *w, uint64_t least, uint64_t usual) {
        uint64_t d = least + below(w, usual + 1);

        if (one_in(w, 20))
                d += below(w, usual * 10 + 1);
        return d;
}

static bool earlier(const struct event *a, const struct event *b) {
        return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static void push(struct world *w, struct event e) {
        size_t i = w->event_count++;

        if (w->event_count > w->events_allocated) {
                w->events_allocated = w->events_allocated * 2 + 64;
                w->events = reallocarray(w->events, w->events_allocated, sizeof(e));
                assert(w->events);
        }
        while (i > 0 && earlier(&e, &w->events[(i - 1) / 2])) {
                w->events[i] = w->events[(i - 1) / 2];
                i = (i - 1) / 2;
        }
        w->events[i] = e;
}

static struct event pop(struct world *w) {
        struct event first = w->events[0], last = w->events[--w->event_count];
        size_t i = 0;

        for (;;) {
                size_t k = 2 * i + 1;

                if (k >= w->event_count)
                        break;
                if (k + 1 < w->event_count && earlier(&w->events[k + 1], &w->events[k]))
                        k++;
                if (!earlier(&w->events[k], &last))
                        break;
                w->events[i] = w->events[k];
                i = k;
        }
        w->events[i] = last;
        return first;
}

void after(struct world *w, uint64_t delay, struct node *n, event_run run, void *data,
                void (*drop)(void *), uint64_t number) {
        push(w, (struct event){.at_us = w->now_us + delay,
                                .order = ++w->order,
                                .run = run,
                                .node = n,
                                .life = n ? n->life : 0,
                                .data = data,
                                .drop = drop,
                                .number = number});
}

void trace(struct world *w, const char *fmt, ...) {
        va_list ap;

        if (!w->tracing)
                return;
        printf("%10.3f ms  ", (double)w->now_us / 1000);
        va_start(ap, fmt);
        vprintf(fmt, ap);
        va_end(ap);
        putchar('\n');
}

void fail(struct world *w, const char *fmt, ...) {
        va_list ap;

        if (w->failure || w->forked)
                return;
        va_start(ap, fmt);
        if (vasprintf(&w->failure, fmt, ap) < 0)
                w->failure = NULL;
        va_end(ap);
        assert(w->failure);
        trace(w, "FAILED: %s", w->failure);
}

static void mix(struct world *w, uint64_t v) {
        w->hash = (w->hash ^ v) * 0x100000001b3ULL;
}

static void drop(struct event *e) {
        if (e->drop && e->data)
                e->drop(e->data);
}

static void run_one(struct world *w) {
        struct event e = pop(w);

        assert(e.at_us >= w->now_us);
        w->now_us = e.at_us;
        if (e.node && e.node->life != e.life) {
                drop(&e);
                return;
        }
        /* A process that is stopped does nothing; its events wait. */
        if (e.node && e.node->paused_until_us > w->now_us) {
                e.at_us = e.node->paused_until_us;
                e.order = ++w->order;
                push(w, e);
                return;
        }
        mix(w, w->now_us);
        mix(w, e.node ? e.node->number + 1 : 0);
        e.run(w, e.node, e.data, e.number);
}

static void heal(struct world *w, struct node *none, void *data, uint64_t number) {
        w->healing = true;
        trace(w, "---- everything heals");
        faults_heal(w);
        w->unrest = "nobody has looked";
        after(w, 1 * SECOND, NULL, check_rest, NULL, NULL, 0);
}

static void late_start(struct world *w, struct node *none, void *data, uint64_t number) {
        struct node *n = data;

        if (!n->removed)
                node_start(w, n);
}

/* Members are started in any order, a minority of them perhaps long after the others. */
static void first_start(struct world *w, struct node *n, unsigned size) {
        bool late = n->number < (size - 1) / 2 && one_in(w, 4);

        if (one_in(w, 2) && !late)
                node_start(w, n);
        else
                after(w, between(w, 1 * MS, late ? 5 * SECOND : 500 * MS), NULL, late_start, n,
                                NULL, 0);
}

/* Chance decides what kind of run it is. */
static void set_up(struct world *w) {
        static const unsigned sizes[] = {3, 3, 3, 5, 4, 7, 1, 2};
        unsigned size = sizes[below(w, ELEMENTS(sizes))];

        w->amnesia = one_in(w, 12);
        if (w->amnesia)
                size = 3;
        w->calm = w->amnesia || one_in(w, 12);
        w->fault_us = one_in(w, 3) ? 250 * MS : 1200 * MS;
        w->change_us = one_in(w, 3) ? 200 * MS : 1500 * MS;
        w->think_us = one_in(w, 4) ? 5 * MS : 150 * MS;
        w->snapshot_count = one_in(w, 3) ? 200 : between(w, 4, 30);
        w->network.usual_us = one_in(w, 4) ? 20 * MS : 2 * MS;
        w->network.loss_percent = one_in(w, 2) ? 0 : (unsigned)below(w, 12);
        w->network.doubled_percent = one_in(w, 2) ? 0 : (unsigned)below(w, 8);
        for (unsigned i = 0; i < size; i++)
                (void)node_new(w);
        w->founders = size;
        for (unsigned i = 0; i < size; i++)
                founders_members(w, &w->nodes[i]);
        for (unsigned i = 0; i < size; i++)
                first_start(w, &w->nodes[i], size);
        clients_start(w);
        tenants_start(w);
        watchers_start(w);
        if (!w->calm)
                faults_start(w);
        if (w->amnesia) {
                w->snapshot_count = one_in(w, 3) ? 10 : 10000; /* the end may be a whole state */
                w->network.loss_percent = 0;
                w->end_at_us = 60 * (uint64_t)SECOND;
                forget_start(w);
                return;
        }
        if (size > 1 || one_in(w, 2))
                members_start(w);
        w->heal_at_us = between(w, 6, 16) * SECOND;
        w->end_at_us = w->heal_at_us + 60 * (uint64_t)SECOND;
        after(w, w->heal_at_us, NULL, heal, NULL, NULL, 0);
}

int world_run(struct world *w, uint64_t seed, bool tracing) {
        *w = (struct world){.seed = seed,
                        .chance = (seed + 1) * 0x9e3779b97f4a7c15ULL,
                        .hash = 0xcbf29ce484222325ULL,
                        .tracing = tracing};
        for (unsigned i = 0; i < 8; i++)
                (void)chance(w);
        w->story.rev = 1;
        set_up(w);
        while (!w->failure && w->event_count > 0 && w->events[0].at_us < w->end_at_us &&
                        w->order < EVENTS_MAX)
                run_one(w);
        if (w->order >= EVENTS_MAX)
                fail(w, "the members talk without end");
        if (!w->failure && !w->forked)
                check_end(w);
        else if (!w->failure && w->unrest) {
                w->forked = false;
                fail(w, "a member that forgot brought all to a halt: %s", w->unrest);
        }
        return w->failure ? 1 : 0;
}

void world_done(struct world *w) {
        watchers_done(w);
        while (w->event_count > 0)
                drop(&w->events[--w->event_count]);
        free(w->events);
        for (unsigned i = 0; i < w->node_count; i++)
                node_done(&w->nodes[i]);
        device_done(&w->remembered);
        clients_done(w);
        tenants_done(w);
        story_done(&w->story);
        linear_history_done(&w->history);
        for (size_t i = 0; i < w->answer_count; i++) {
                free(w->answers[i].key);
                free(w->answers[i].value);
        }
        free(w->answers);
        for (size_t i = 0; i < w->old_read_count; i++) {
                free(w->old_reads[i].key);
                free(w->old_reads[i].value);
        }
        free(w->old_reads);
        free(w->failure);
}
