/* Keepers of leases: each has a lease with a key on it. As long as its keepalives are acknowledged
 * the key must be there; some time after the keeper stops it must be gone. Then the keeper starts
 * over with another lease. */
#include "tests/chaos/chaos.h"

#include "lib/random.h"

enum {
        KEEPERS = 4,
        TTL_S = 3,
        RENEW_US = 700000,
        LOOK_US = 400000,
        LIMIT_US = 1500000,
        KEEP_MIN_US = 4000000,
        KEEP_MAX_US = 15000000,
};

enum keeper_state {
        KEEPER_GRANT, /* asks for a lease */
        KEEPER_PUT,   /* puts a key on it */
        KEEPER_KEEP,
        KEEPER_LEAVE, /* waits until the key is gone */
};

struct keeper {
        struct chaos *chaos;
        unsigned number, member;
        enum keeper_state state;
        sd_event_source *timer;
        struct dice dice;
        char key[64];
        uint64_t rounds;
        int64_t lease;
        uint64_t until_us;   /* when keeping ends */
        uint64_t granted_us; /* the key may not go away before, as far as was acknowledged */
        uint64_t asked_us, looked_us;
        uint64_t leave_us; /* when it became possible that the key goes away */
        struct grpc_client_call *renewal;
        unsigned renewal_member, renewal_starts; /* which process it went to */
        uint64_t renewal_us;
        int64_t renewal_ttl;
        bool busy; /* one question of KEEPER_GRANT, KEEPER_PUT or for the key at a time */
};

/* Another member may know more. */
static struct link *keeper_link(struct keeper *k) {
        struct chaos *c = k->chaos;

        for (unsigned i = 0; i < c->slot_count; i++) {
                unsigned m = (k->member + i) % c->slot_count;

                if (member_in_cluster(c, m) && link_is_up(&c->slots[m].load)) {
                        k->member = m;
                        return &c->slots[m].load;
                }
        }
        return NULL;
}

static void start_over(struct keeper *k) {
        k->state = KEEPER_GRANT;
        k->rounds++;
        snprintf(k->key, sizeof(k->key), "lease/%u/%llu", k->number, (unsigned long long)k->rounds);
        k->lease = 0;
}

static void on_granted(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct keeper *k = userdata;
        Etcdserverpb__LeaseGrantResponse *r = NULL;

        k->busy = false;
        if (reply->code == GRPC_OK)
                r = etcdserverpb__lease_grant_response__unpack(NULL, reply->size, reply->data);
        if (!r || r->id == 0) {
                k->member++; /* a lease that was granted all the same ends by itself */
                start_over(k);
        } else {
                k->lease = r->id;
                k->granted_us = k->asked_us + (uint64_t)r->ttl * 1000000;
                k->state = KEEPER_PUT;
        }
        if (r)
                etcdserverpb__lease_grant_response__free_unpacked(r, NULL);
}

static void on_put(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct keeper *k = userdata;

        k->busy = false;
        if (reply->code != GRPC_OK) {
                if (chaos_now_us(c) < k->granted_us &&
                                streq(reply->message, "etcdserver: requested lease not found"))
                        chaos_fail(c, "lease %llx was gone before its time",
                                        (unsigned long long)k->lease);
                k->member++;
                start_over(k);
                return;
        }
        k->state = KEEPER_KEEP;
        k->until_us = chaos_now_us(c) + dice_between(&k->dice, KEEP_MIN_US, KEEP_MAX_US);
        c->leases_kept++;
}

static void leave(struct keeper *k) {
        k->state = KEEPER_LEAVE;
        k->leave_us = chaos_now_us(k->chaos);
}

static void on_renewed(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct keeper *k = userdata;
        Etcdserverpb__LeaseKeepAliveResponse *r =
                        etcdserverpb__lease_keep_alive_response__unpack(NULL, n, data);
        struct chaos *c = k->chaos;

        if (!r || r->id != k->lease)
                chaos_fail(c, "an answer to a keepalive that nobody can read");
        else if (r->ttl > 0) {
                k->granted_us = MAX(k->granted_us, k->renewal_us + (uint64_t)r->ttl * 1000000);
                c->renewals++;
        } else {
                /* Gone: it was too long that nobody acknowledged anything. */
                if (chaos_now_us(c) < k->granted_us)
                        chaos_fail(c, "lease %llx is gone %.3f s before its time",
                                        (unsigned long long)k->lease,
                                        (double)(k->granted_us - chaos_now_us(c)) / 1e6);
                if (k->state == KEEPER_KEEP)
                        leave(k);
        }
        if (r)
                etcdserverpb__lease_keep_alive_response__free_unpacked(r, NULL);
}

static void on_renewal_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct keeper *k = userdata;

        k->renewal = NULL;
        if (code != GRPC_OK)
                k->member++;
}

/* A stream for one keepalive: it ends with its answer, and has a time limit. */
static void renew(struct keeper *k) {
        struct grpc_client_call_options o = {.path = "/etcdserverpb.Lease/LeaseKeepAlive",
                        .timeout_us = LIMIT_US,
                        .on_message = on_renewed,
                        .on_done = on_renewal_done,
                        .userdata = k};
        Etcdserverpb__LeaseKeepAliveRequest r = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
        struct link *l = keeper_link(k);
        _cleanup_buf_ struct buf b = {0};

        if (!l || k->renewal)
                return;
        r.id = k->lease;
        k->renewal_us = chaos_now_us(k->chaos);
        k->renewal_member = k->member;
        k->renewal_starts = k->chaos->slots[k->member].starts;
        if (message_pack(&r.base, &b) < 0 ||
                        grpc_client_unary(l->channel, &o, b.data, b.size, &k->renewal) < 0)
                k->renewal = NULL;
}

static void on_looked(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct keeper *k = userdata;
        Etcdserverpb__RangeResponse *r = NULL;
        uint64_t now_us = chaos_now_us(c);

        k->busy = false;
        if (reply->code == GRPC_OK)
                r = etcdserverpb__range_response__unpack(NULL, reply->size, reply->data);
        if (!r) {
                k->member++;
                return;
        }
        if (r->n_kvs == 0) {
                if (now_us < k->granted_us)
                        chaos_fail(c, "%s is gone %.3f s before the time that was acknowledged",
                                        k->key, (double)(k->granted_us - now_us) / 1e6);
                /* What began before the key went may still be under way: the next lease has
                 * another key. */
                start_over(k);
        }
        etcdserverpb__range_response__free_unpacked(r, NULL);
}

static void look(struct keeper *k) {
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
        struct link *l = keeper_link(k);

        if (!l)
                return;
        r.key = text_data(k->key);
        k->looked_us = chaos_now_us(k->chaos);
        k->busy = rpc_start(l, "/etcdserverpb.KV/Range", &r.base, LIMIT_US, on_looked, k) >= 0;
}

static void grant(struct keeper *k) {
        Etcdserverpb__LeaseGrantRequest r = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
        struct link *l = keeper_link(k);

        if (!l)
                return;
        r.ttl = TTL_S;
        k->asked_us = chaos_now_us(k->chaos);
        k->busy = rpc_start(l, "/etcdserverpb.Lease/LeaseGrant", &r.base, LIMIT_US, on_granted,
                                  k) >= 0;
}

static void put(struct keeper *k) {
        Etcdserverpb__PutRequest r = ETCDSERVERPB__PUT_REQUEST__INIT;
        struct link *l = keeper_link(k);

        if (!l)
                return;
        r.key = text_data(k->key);
        r.value = text_data("kept");
        r.lease = k->lease;
        k->busy = rpc_start(l, "/etcdserverpb.KV/Put", &r.base, LIMIT_US, on_put, k) >= 0;
}

static int on_keeper_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct keeper *k = userdata;
        struct chaos *c = k->chaos;
        uint64_t now_us = chaos_now_us(c);

        /* When a member's process ends its connections are closed without a word. */
        if (k->renewal && (c->slots[k->renewal_member].pid == 0 ||
                                          c->slots[k->renewal_member].starts != k->renewal_starts))
                k->renewal = NULL;
        if (k->state == KEEPER_KEEP && (now_us >= k->until_us || !c->keeping))
                leave(k);
        if (k->state == KEEPER_GRANT && !k->busy && c->keeping)
                grant(k);
        else if (k->state == KEEPER_PUT && !k->busy)
                put(k);
        else if (k->state == KEEPER_KEEP && now_us >= k->renewal_us + RENEW_US)
                renew(k);
        else if (k->state >= KEEPER_KEEP && !k->busy && now_us >= k->looked_us + LOOK_US)
                look(k);
        (void)sd_event_source_set_time_relative(source, 100000);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int leases_start(struct chaos *c) {
        c->keepers = calloc(KEEPERS, sizeof(*c->keepers));
        if (!c->keepers)
                return -ENOMEM;
        c->keeping = true;
        for (unsigned i = 0; i < KEEPERS; i++) {
                struct keeper *k = &c->keepers[i];
                int r;

                *k = (struct keeper){.chaos = c, .number = i, .member = i, .dice = {random_u64()}};
                start_over(k);
                r = sd_event_add_time_relative(c->event, &k->timer, CLOCK_MONOTONIC,
                                dice_below(&k->dice, 200000), 1000, on_keeper_timer, k);
                if (r < 0)
                        return r;
        }
        return 0;
}

void leases_stop(struct chaos *c) {
        c->keeping = false;
}

bool leases_gone(const struct chaos *c) {
        for (unsigned i = 0; c->keepers && i < KEEPERS; i++)
                if (c->keepers[i].state != KEEPER_GRANT || c->keepers[i].busy)
                        return false;
        return true;
}

void leases_done(struct chaos *c) {
        for (unsigned i = 0; c->keepers && i < KEEPERS; i++)
                sd_event_source_disable_unref(c->keepers[i].timer);
        free(c->keepers);
}
