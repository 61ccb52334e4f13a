/* Whether the members hold the same: the leader hashes its table at a revision, asks the others for
 * theirs at the same revision, and raises the CORRUPT alarm for those that differ from the
 * majority. Then nothing is written, as in etcd, until the member is removed and the alarm
 * disarmed; reads are served. */
#include "kstored/server.h"
#include "lib/log.h"

enum { ANSWER_US = 60000000 };

struct answer {
        struct corrupt_check *check;
        uint64_t member;
        struct grpc_client_call *call; /* under way */
        bool known;
        uint32_t hash;
};

struct corrupt_check {
        struct server *server;
        int64_t rev, compact_rev;
        bool asked, abandoned;
        struct answer answers[RAFT_MEMBERS_MAX]; /* the first is our own */
        size_t count;
};

static void raise_alarm(struct server *s, uint64_t member) {
        _cleanup_buf_ struct buf b = {0};

        log_error("Member %llx holds other data than the majority: raising the CORRUPT alarm. "
                  "Remove "
                  "it, add it again empty, then: etcdctl alarm disarm",
                        (unsigned long long)member);
        wire_uint(&b, 1, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE);
        wire_uint(&b, 2, member);
        wire_uint(&b, 3, ALARM_CORRUPT);
        if (!b.failed)
                server_propose(s, NULL, COMMAND_ALARM, b.data, b.size, NULL);
}

/* The hash that most have; the leader's when no majority agrees. */
static uint32_t right_hash(const struct corrupt_check *c) {
        for (size_t i = 0; i < c->count; i++) {
                size_t same = 0;

                for (size_t k = 0; k < c->count; k++)
                        same += c->answers[k].known && c->answers[k].hash == c->answers[i].hash;
                if (c->answers[i].known && same * 2 > c->count)
                        return c->answers[i].hash;
        }
        return c->answers[0].hash;
}

static void free_check(struct corrupt_check *c) {
        for (size_t i = 0; i < c->count; i++)
                grpc_client_call_cancel(c->answers[i].call);
        c->server->corrupt_check = NULL;
        free(c);
}

/* Once nobody is waited for any more. */
static void judge(struct corrupt_check *c) {
        struct server *s = c->server;
        uint32_t right;

        for (size_t i = 0; i < c->count; i++)
                if (c->answers[i].call)
                        return;
        right = right_hash(c);
        for (size_t i = 0; i < c->count; i++)
                if (c->answers[i].known && c->answers[i].hash != right &&
                                state_member(s->state, c->answers[i].member))
                        raise_alarm(s, c->answers[i].member);
        free_check(c);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct answer *a = userdata;
        Etcdserverpb__HashKVResponse *r = etcdserverpb__hash_kvresponse__unpack(NULL, n, data);
        int64_t ours = a->check->compact_rev > 0 ? a->check->compact_rev : -1;

        if (!r)
                return;
        /* Compacted to another revision meanwhile: not comparable, next time. */
        a->known = r->compact_revision == ours;
        a->hash = r->hash;
        etcdserverpb__hash_kvresponse__free_unpacked(r, NULL);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct answer *a = userdata;

        a->call = NULL;
        if (a->check->asked)
                judge(a->check);
}

static void ask(struct corrupt_check *c, struct answer *a) {
        struct grpc_channel *channel = peers_channel(c->server->peers, a->member);
        struct grpc_client_call_options o = {.path = "/etcdserverpb.Maintenance/HashKV",
                        .timeout_us = ANSWER_US,
                        .fail_fast = true,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = a};
        _cleanup_buf_ struct buf b = {0};

        wire_uint(&b, 1, (uint64_t)c->rev);
        if (channel && !b.failed)
                (void)grpc_client_unary(channel, &o, b.data, b.size, &a->call);
}

static void on_own(struct server *s, int error, int64_t rev, int64_t compact_rev, uint32_t hash,
                void *userdata) {
        struct corrupt_check *c = userdata;

        if (c->abandoned || error || s->stopping || !server_is_leader(s)) {
                free_check(c);
                return;
        }
        c->rev = rev;
        c->compact_rev = compact_rev;
        c->answers[c->count++] = (struct answer){
                        .check = c, .member = s->member_id, .known = true, .hash = hash};
        for (size_t i = 0; i < s->state->member_count && c->count < ELEMENTS(c->answers); i++) {
                struct answer *a = &c->answers[c->count];

                if (s->state->members[i]->id == s->member_id)
                        continue;
                *a = (struct answer){.check = c, .member = s->state->members[i]->id};
                c->count++;
                ask(c, a);
        }
        c->asked = true;
        judge(c);
}

void corrupt_check_turn(struct server *s, uint64_t now_ms) {
        uint64_t period_ms = s->corrupt_check_us / 1000;

        if (period_ms == 0 || now_ms < s->next_corrupt_check_ms)
                return;
        s->next_corrupt_check_ms = now_ms + period_ms;
        if (s->corrupt_check || s->stopping || s->state->member_count < 2 || !server_is_leader(s) ||
                        state_alarm(s->state, ALARM_CORRUPT))
                return;
        s->corrupt_check = calloc(1, sizeof(*s->corrupt_check));
        if (!s->corrupt_check)
                return;
        s->corrupt_check->server = s;
        if (server_hash(s, mvcc_rev(s->state->kv.mvcc), on_own, s->corrupt_check) < 0)
                free_check(s->corrupt_check);
}

void corrupt_check_end(struct server *s) {
        struct corrupt_check *c = s->corrupt_check;

        if (!c)
                return;
        if (c->asked)
                free_check(c);
        else
                c->abandoned = true; /* hashes_done() ends it */
}
