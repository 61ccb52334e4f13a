/* Start-time fair queuing over flows: a flow's clock is what it has cost, divided by its level's
 * weight; the flow whose clock is least is next, and the common clock is where the last one
 * started. One that comes after a pause starts at the common clock: pauses save nothing up. */
#include "kapid/http/fairness.h"

#include <limits.h>

#include "lib/map.h"

enum { FLOWS_MAX = 2048 };

TAILQ_HEAD(ticket_list, fairness_ticket);

struct fairness_flow {
        enum fairness_level level;
        uint64_t clock;                   /* us of virtual time */
        struct ticket_list fresh, begun;  /* not yet served, and those that have more to do */
        bool begun_next;                  /* one of begun is served before one of fresh */
        TAILQ_ENTRY(fairness_flow) entry; /* among those that wait */
        bool waiting;
        unsigned queued, seats, streams, tickets;
        char key[];
};

TAILQ_HEAD(flow_list, fairness_flow);

struct fairness {
        struct map *flows;
        struct flow_list waiting;
        uint64_t clock;
        size_t queued;
        unsigned streams;
        struct fairness_level_state levels[FAIRNESS_LEVELS];
};

static const struct {
        const char *name;
        unsigned weight, seats, queued_max;
} rows[] = {
                [FAIRNESS_EXEMPT] = {"exempt", 8, UINT_MAX, UINT_MAX},
                [FAIRNESS_SYSTEM] = {"system", 4, 2000, 8000},
                [FAIRNESS_WORKLOAD] = {"workload", 2, 1000, 4000},
                [FAIRNESS_CATCH_ALL] = {"catch-all", 1, 20, 100},
};

struct fairness *fairness_new(void) {
        struct fairness *f = calloc(1, sizeof(*f));

        if (!f)
                return NULL;
        TAILQ_INIT(&f->waiting);
        for (size_t i = 0; i < FAIRNESS_LEVELS; i++) {
                f->levels[i].name = rows[i].name;
                f->levels[i].seats_max = rows[i].seats;
        }
        f->flows = map_new(free);
        return f->flows ? f : mfree(f);
}

struct fairness *fairness_free(struct fairness *f) {
        if (!f)
                return NULL;
        map_free(f->flows);
        return mfree(f);
}

static bool has_group(char *const *groups, const char *name) {
        for (; groups && *groups; groups++)
                if (streq(*groups, name))
                        return true;
        return false;
}

enum fairness_level fairness_classify(
                const char *user, char *const *groups, const char *group, const char *resource) {
        if (has_group(groups, "system:masters"))
                return FAIRNESS_EXEMPT;
        if (has_group(groups, "system:unauthenticated") || isempty(user))
                return FAIRNESS_CATCH_ALL;
        if (has_group(groups, "system:nodes") || startswith(user, "system:kube-") ||
                        startswith(user, "system:keelson:") ||
                        startswith(user, "system:serviceaccount:kube-system:"))
                return FAIRNESS_SYSTEM;
        return FAIRNESS_WORKLOAD;
}

/* Flows without requests and debts are forgotten when there are many. */
static void sweep(struct fairness *f) {
        map_foreach (f->flows, e) {
                struct fairness_flow *flow = map_entry_value(e);

                if (flow->tickets == 0 && flow->clock <= f->clock)
                        (void)map_remove(f->flows, map_entry_key(e));
        }
}

static struct fairness_flow *flow_get(
                struct fairness *f, enum fairness_level level, const char *name) {
        size_t n = strlen(name) + 2;
        _cleanup_free_ char *key = malloc(n + 1);
        struct fairness_flow *flow;

        if (!key)
                return NULL;
        key[0] = (char)('0' + level);
        key[1] = ' ';
        memcpy(key + 2, name, n - 1);
        flow = map_get(f->flows, key);
        if (flow)
                return flow;
        if (map_size(f->flows) >= FLOWS_MAX)
                sweep(f);
        flow = calloc(1, sizeof(*flow) + n + 1);
        if (!flow)
                return NULL;
        flow->level = level;
        TAILQ_INIT(&flow->fresh);
        TAILQ_INIT(&flow->begun);
        memcpy(flow->key, key, n);
        if (map_set(f->flows, key, flow) < 0)
                return mfree(flow);
        return flow;
}

static struct ticket_list *queue_of(const struct fairness_ticket *t) {
        return t->seated ? &t->flow->begun : &t->flow->fresh;
}

static void push(struct fairness *f, struct fairness_ticket *t, uint64_t now_us) {
        struct fairness_flow *flow = t->flow;

        t->state = TICKET_QUEUED;
        t->queued_us = now_us;
        TAILQ_INSERT_TAIL(queue_of(t), t, entry);
        flow->queued++;
        f->queued++;
        f->levels[flow->level].queued++;
        if (!flow->waiting) {
                flow->waiting = true;
                flow->clock = MAX(flow->clock, f->clock);
                TAILQ_INSERT_TAIL(&f->waiting, flow, entry);
        }
}

static void pull(struct fairness *f, struct fairness_ticket *t) {
        struct fairness_flow *flow = t->flow;

        TAILQ_REMOVE(queue_of(t), t, entry);
        flow->queued--;
        f->queued--;
        f->levels[flow->level].queued--;
        if (flow->queued == 0) {
                flow->waiting = false;
                TAILQ_REMOVE(&f->waiting, flow, entry);
        }
}

int fairness_enqueue(struct fairness *f, struct fairness_ticket *t, enum fairness_level level,
                const char *name, unsigned width, uint64_t now_us) {
        struct fairness_level_state *l = &f->levels[level];
        struct fairness_flow *flow;

        assert(t->state == TICKET_IDLE && !t->flow);
        flow = flow_get(f, level, name);
        if (!flow)
                return -ENOMEM;
        if (level != FAIRNESS_EXEMPT && (flow->queued >= FAIRNESS_FLOW_QUEUE_MAX ||
                                                        l->queued >= rows[level].queued_max)) {
                l->rejected++;
                return -EBUSY;
        }
        t->flow = flow;
        width = MAX(width, 1u);
        t->width = MIN(width, l->seats_max / 4);
        flow->tickets++;
        push(f, t, now_us);
        return 0;
}

void fairness_yield(struct fairness *f, struct fairness_ticket *t, uint64_t now_us) {
        assert(t->state == TICKET_SEATED);
        push(f, t, now_us);
}

static bool fits(const struct fairness *f, const struct fairness_ticket *t) {
        const struct fairness_flow *flow = t->flow;
        const struct fairness_level_state *l = &f->levels[flow->level];
        unsigned left = l->seats_max - l->seats;

        if (flow->level == FAIRNESS_EXEMPT)
                return true;
        if (t->width > left)
                return false;
        return flow->seats == 0 || flow->seats + t->width <= (flow->seats + left) / 2;
}

/* A flow's fresh requests and its begun ones have turns one by one: a small request waits for one
 * slice of its user's long ones, and those are not starved. NULL: none that fits in. */
static struct fairness_ticket *next_of(const struct fairness *f, const struct fairness_flow *flow) {
        struct fairness_ticket *fresh = TAILQ_FIRST(&flow->fresh),
                               *begun = TAILQ_FIRST(&flow->begun);

        if (fresh && !fits(f, fresh))
                fresh = NULL;
        return begun && (flow->begun_next || !fresh) ? begun : fresh;
}

static struct fairness_flow *next_flow(const struct fairness *f) {
        struct fairness_flow *flow, *best = NULL;

        TAILQ_FOREACH(flow, &f->waiting, entry)
        if ((!best || flow->clock < best->clock) && next_of(f, flow))
                best = flow;
        return best;
}

bool fairness_is_next(const struct fairness *f, const struct fairness_ticket *t) {
        const struct fairness_flow *flow = next_flow(f);

        return flow && next_of(f, flow) == t;
}

struct fairness_ticket *fairness_next(struct fairness *f) {
        struct fairness_flow *best = next_flow(f);
        struct fairness_ticket *t;

        if (!best)
                return NULL;
        t = next_of(f, best);
        best->begun_next = !t->seated;
        pull(f, t);
        t->state = TICKET_SEATED;
        f->clock = MAX(f->clock, best->clock);
        if (!t->seated) {
                t->seated = true;
                best->seats += t->width;
                f->levels[best->level].seats += t->width;
                f->levels[best->level].dispatched++;
        }
        return t;
}

struct fairness_ticket *fairness_overdue(struct fairness *f, uint64_t now_us) {
        struct fairness_flow *flow;

        TAILQ_FOREACH(flow, &f->waiting, entry) {
                struct fairness_ticket *t = TAILQ_FIRST(&flow->fresh);

                if (!t || flow->level == FAIRNESS_EXEMPT ||
                                t->queued_us + FAIRNESS_WAIT_US > now_us)
                        continue;
                f->levels[flow->level].rejected++;
                fairness_leave(f, t);
                return t;
        }
        return NULL;
}

void fairness_charge(struct fairness *f, struct fairness_ticket *t, uint64_t cost_us) {
        if (t->flow)
                t->flow->clock = MAX(t->flow->clock, f->clock) +
                                 MAX(cost_us, (uint64_t)1) * 8 / rows[t->flow->level].weight;
}

void fairness_leave(struct fairness *f, struct fairness_ticket *t) {
        struct fairness_flow *flow = t->flow;

        if (!flow)
                return;
        if (t->state == TICKET_QUEUED)
                pull(f, t);
        if (t->seated) {
                flow->seats -= t->width;
                f->levels[flow->level].seats -= t->width;
        }
        if (t->streaming) {
                flow->streams--;
                f->streams--;
        }
        flow->tickets--;
        *t = (struct fairness_ticket){0};
}

bool fairness_stream(struct fairness *f, struct fairness_ticket *t, unsigned streams_max) {
        struct fairness_flow *flow = t->flow;
        unsigned left = streams_max - MIN(f->streams, streams_max);

        if (!flow || left == 0 || flow->streams >= (flow->streams + left) / 2 + 1)
                return false;
        if (t->seated) {
                t->seated = false;
                flow->seats -= t->width;
                f->levels[flow->level].seats -= t->width;
        }
        t->streaming = true;
        flow->streams++;
        f->streams++;
        return true;
}

const struct fairness_level_state *fairness_level(const struct fairness *f, enum fairness_level l) {
        return &f->levels[l];
}

size_t fairness_flows(const struct fairness *f) {
        return map_size(f->flows);
}

size_t fairness_queued(const struct fairness *f) {
        return f->queued;
}
