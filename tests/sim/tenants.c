/* Leases: granted, kept alive for a while, revoked or forgotten. One must not expire before its TTL
 * has passed since its last renewal, on the clock of the leader; and all must expire. */
#include "proto/rpc.pb-c.h"
#include "tests/sim/sim.h"

/* No clock here runs faster than this (node_start(), faults.c), and ticks are whole milliseconds.
 */
enum { RATE_MAX_PPM = 1080000, SLACK_US = 5 * MS };

struct lease_seen {
        int64_t id;
        int64_t ttl_s;
        uint64_t renewed_us; /* when that was asked for, as far as a member said yes */
        uint64_t jumped_us;  /* by then */
        bool ended;
};

struct tenant {
        unsigned number;
        int64_t lease; /* 0: none */
        int64_t ttl_s;
        unsigned renewals; /* left */
        struct lease_seen *seen;
        size_t seen_count, seen_allocated;
};

struct call {
        struct tenant *tenant;
        int64_t lease;
        uint64_t asked_us, jumped_us;
        enum command_kind kind; /* LEASE_RENEW: by a read barrier, as the program does it */
        struct buf bytes;
};

static void call_drop(void *data) {
        struct call *c = data;

        buf_done(&c->bytes);
        free(c);
}

static struct lease_seen *find(struct tenant *t, int64_t id) {
        for (size_t i = t->seen_count; i > 0; i--)
                if (t->seen[i - 1].id == id)
                        return &t->seen[i - 1];
        return NULL;
}

static void renewed(struct lease_seen *x, uint64_t asked_us, uint64_t jumped_us) {
        if (asked_us < x->renewed_us)
                return;
        x->renewed_us = asked_us;
        x->jumped_us = jumped_us;
}

void tenants_ended(struct world *w, int64_t lease) {
        struct tenant *t = &w->tenants[(lease >> 32) % TENANTS];
        struct lease_seen *x = find(t, lease);
        uint64_t passed;

        assert(x);
        if (x->ended)
                return;
        x->ended = true;
        w->count.lease_ends++;
        passed = (w->now_us - x->renewed_us) * RATE_MAX_PPM / 1000000 + w->jumped_us -
                 x->jumped_us + SLACK_US;
        trace(w, "agreed: lease %llx ends", (unsigned long long)lease);
        if (passed < (uint64_t)x->ttl_s * SECOND)
                fail(w, "lease %llx of %lld s ended %.3f s after it was renewed",
                                (unsigned long long)lease, (long long)x->ttl_s,
                                (double)(w->now_us - x->renewed_us) / SECOND);
}

/* A barrier is known: renewed, if it is not too late (service-keepalive.c). */
static void on_ready(struct world *w, struct node *n, void *data, uint64_t asked_us) {
        struct call *c = data;
        struct lease *lease = lessor_find(n->replica->state->kv.lessor, c->lease);

        if (!replica_is_leader(n->replica) || !lease || lease_is_ending(lease))
                return;
        lease_renew(lease, node_now_ms(n));
        renewed(find(c->tenant, c->lease), c->asked_us, c->jumped_us);
}

static void arrive(struct world *w, struct node *n, void *data, uint64_t number) {
        struct call *c = data;

        if (c->kind == COMMAND_LEASE_RENEW) {
                if (replica_is_leader(n->replica))
                        node_read(n, on_ready, c, 0);
                /* It lives as long as the world: a barrier may come at any time. */
                after(w, 100 * (uint64_t)SECOND, NULL, NULL, c, call_drop, 0);
        } else {
                (void)node_propose(n, c->kind, c->bytes.data, c->bytes.size, NULL, NULL);
                call_drop(c);
        }
        node_turn(w, n);
}

static struct call *call_new(struct world *w, struct tenant *t, enum command_kind kind) {
        struct call *c = calloc(1, sizeof(*c));

        assert(c);
        *c = (struct call){.tenant = t,
                        .lease = t->lease,
                        .asked_us = w->now_us,
                        .jumped_us = w->jumped_us,
                        .kind = kind};
        return c;
}

static void to_member(struct world *w, struct node *n, struct call *c) {
        if (n)
                after(w, delay_us(w, 50, 2 * MS), n, arrive, c, call_drop, 0);
        else
                call_drop(c);
}

/* One that believes that it leads, whether it does or not. */
static struct node *some_leader(struct world *w) {
        unsigned from = (unsigned)below(w, w->node_count);

        for (unsigned i = 0; i < w->node_count; i++) {
                struct node *n = &w->nodes[(from + i) % w->node_count];

                if (node_leads(n))
                        return n;
        }
        return NULL;
}

static void grant(struct world *w, struct tenant *t) {
        struct call *c, *put;
        struct node *n = some_node(w);
        char key[32];

        t->lease = (int64_t)t->number << 32 | (int64_t)(t->seen_count + 1);
        t->ttl_s = (int64_t)between(w, 1, 3);
        t->renewals = (unsigned)below(w, 8);
        if (t->seen_count == t->seen_allocated) {
                t->seen_allocated = t->seen_allocated * 2 + 16;
                t->seen = reallocarray(t->seen, t->seen_allocated, sizeof(t->seen[0]));
                assert(t->seen);
        }
        t->seen[t->seen_count++] = (struct lease_seen){.id = t->lease,
                        .ttl_s = t->ttl_s,
                        .renewed_us = w->now_us,
                        .jumped_us = w->jumped_us};
        c = call_new(w, t, COMMAND_LEASE_GRANT);
        wire_uint(&c->bytes, 1, (uint64_t)t->ttl_s);
        wire_uint(&c->bytes, 2, (uint64_t)t->lease);
        to_member(w, n, c);
        put = call_new(w, t, COMMAND_PUT);
        snprintf(key, sizeof(key), "lease/%llx", (unsigned long long)t->lease);
        wire_string(&put->bytes, 1, key);
        wire_string(&put->bytes, 2, "held");
        wire_uint(&put->bytes, 3, (uint64_t)t->lease);
        if (n)
                after(w, between(w, 20 * MS, 300 * MS), n, arrive, put, call_drop, 0);
        else
                call_drop(put);
}

static void next(struct world *w, struct node *none, void *data, uint64_t number) {
        struct tenant *t = data;

        if (w->healing)
                return;
        if (t->lease == 0) {
                grant(w, t);
                after(w, between(w, 300 * MS, 700 * MS), NULL, next, t, NULL, 0);
                return;
        }
        if (t->renewals > 0) {
                t->renewals--;
                to_member(w, some_leader(w), call_new(w, t, COMMAND_LEASE_RENEW));
                after(w, (uint64_t)t->ttl_s * between(w, 200 * MS, 900 * MS), NULL, next, t, NULL,
                                0);
                return;
        }
        t->lease = 0; /* forgotten: it ends by itself */
        after(w, between(w, 100 * MS, 1500 * MS), NULL, next, t, NULL, 0);
}

void tenants_start(struct world *w) {
        w->tenants = calloc(TENANTS, sizeof(w->tenants[0]));
        assert(w->tenants);
        for (unsigned i = 0; i < TENANTS; i++) {
                w->tenants[i].number = i;
                after(w, between(w, 200 * MS, SECOND), NULL, next, &w->tenants[i], NULL, 0);
        }
}

void tenants_done(struct world *w) {
        for (unsigned i = 0; w->tenants && i < TENANTS; i++)
                free(w->tenants[i].seen);
        free(w->tenants);
}
