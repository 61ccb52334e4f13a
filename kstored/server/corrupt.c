/* Whether the members hold the same data: the leader hashes its table at a revision, asks the
 * others for theirs at the same revision, and raises the CORRUPT alarm for those that differ from
 * the majority, itself included; where there is no majority, for no member (0), as etcd. From then
 * on nothing is written, as in etcd, until the member is replaced and the alarm disarmed; reads are
 * served. */
#include "kstored/server/corrupt.h"

#include "kstored/server/corrupt-judge.h"
#include "kstored/server/server.h"
#include "kstored/service/hash.h"
#include "kstored/service/requests.h"
#include "lib/grpc-client.h"
#include "lib/log.h"

enum { ANSWER_US = 60000000 };

struct answer {
        struct corrupt_check *check;
        struct grpc_client_call *call; /* under way */
        struct corrupt_answer said;
};

struct corrupt_check {
        struct server *server;
        int64_t rev, compact_rev;
        bool asked, abandoned;
        struct answer answers[RAFT_MEMBERS_MAX]; /* the first is our own */
        size_t count;
};

struct corrupt {
        uint64_t period_ms; /* --corrupt-check-time; 0: never */
        uint64_t next_ms;
        struct corrupt_check *check; /* under way */
};

static struct corrupt *corrupt_of(const struct server *s) {
        return server_part(s, SERVER_PART_CORRUPT);
}

/* member 0: nobody is blamed. */
static void raise_alarm(struct server *s, uint64_t member) {
        _cleanup_buf_ struct buf b = {0};

        wire_uint(&b, 1, ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE);
        wire_uint(&b, 2, member);
        wire_uint(&b, 3, ALARM_CORRUPT);
        if (!b.failed)
                server_propose(s, NULL, COMMAND_ALARM, b.data, b.size, NULL);
}

static void free_check(struct corrupt_check *c) {
        for (size_t i = 0; i < c->count; i++)
                grpc_client_call_cancel(c->answers[i].call);
        corrupt_of(c->server)->check = NULL;
        free(c);
}

/* "a1 (name) 1234abcd, ..." */
static char *describe(const struct corrupt_check *c) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < c->count; i++) {
                const struct corrupt_answer *a = &c->answers[i].said;
                const struct member *m = state_member(c->server->state, a->member);
                _cleanup_free_ char *one =
                                a->known ? strformat("%s%llx (%s): %08x", i > 0 ? ", " : "",
                                                           (unsigned long long)a->member,
                                                           m ? strempty(m->name) : "", a->hash)
                                         : strformat("%s%llx (%s): no answer", i > 0 ? ", " : "",
                                                           (unsigned long long)a->member,
                                                           m ? strempty(m->name) : "");

                (void)buf_append(&b, strempty(one), strlen(strempty(one)));
        }
        return b.failed ? NULL : strndup(b.data, b.size);
}

static void accuse(struct corrupt_check *c, enum corrupt_verdict verdict, const bool *wrong) {
        _cleanup_free_ char *all = describe(c);
        struct server *s = c->server;

        if (verdict == CORRUPT_UNKNOWN) {
                log_error("Members hold different data at revision %lld, and no majority says who "
                          "is right (hashes: %s): raising the CORRUPT alarm for nobody. Find out "
                          "which machine had trouble and keep the data of all; then restore a "
                          "backup of "
                          "the one that is right, or replace the one that is wrong (kstored "
                          "--config FILE --replace on it), and then: etcdctl alarm disarm",
                                (long long)c->rev, strempty(all));
                raise_alarm(s, 0);
                return;
        }
        for (size_t i = 0; i < c->count; i++) {
                uint64_t member = c->answers[i].said.member;

                if (!wrong[i] || !state_member(s->state, member))
                        continue;
                log_error("Member %llx holds other data than the majority at revision %lld "
                          "(hashes: %s): raising the CORRUPT alarm. Replace it from the others: "
                          "stop it, kstored --config FILE --replace on its machine, start it, and "
                          "then: etcdctl alarm disarm",
                                (unsigned long long)member, (long long)c->rev, strempty(all));
                raise_alarm(s, member);
        }
}

/* Once all have answered or failed to. */
static void judge(struct corrupt_check *c) {
        struct corrupt_answer said[RAFT_MEMBERS_MAX];
        bool wrong[RAFT_MEMBERS_MAX];
        enum corrupt_verdict verdict;

        for (size_t i = 0; i < c->count; i++) {
                if (c->answers[i].call)
                        return;
                said[i] = c->answers[i].said;
        }
        verdict = corrupt_judge(said, c->count, wrong);
        if (verdict != CORRUPT_NOBODY)
                accuse(c, verdict, wrong);
        free_check(c);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct answer *a = userdata;
        Etcdserverpb__HashKVResponse *r = etcdserverpb__hash_kvresponse__unpack(NULL, n, data);
        int64_t ours = a->check->compact_rev > 0 ? a->check->compact_rev : -1;

        if (!r)
                return;
        /* Compacted to another revision meanwhile: not comparable, next time. */
        a->said.known = r->compact_revision == ours;
        a->said.hash = r->hash;
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
        struct grpc_channel *channel = peers_channel(c->server->peers, a->said.member);
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
                        .check = c, .said = {.member = s->member_id, .known = true, .hash = hash}};
        for (size_t i = 0; i < s->state->member_count && c->count < ELEMENTS(c->answers); i++) {
                struct answer *a = &c->answers[c->count];

                if (s->state->members[i]->id == s->member_id)
                        continue;
                *a = (struct answer){.check = c, .said.member = s->state->members[i]->id};
                c->count++;
                ask(c, a);
        }
        c->asked = true;
        judge(c);
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct corrupt *x = state;

        if (x->period_ms == 0 || now_ms < x->next_ms)
                return;
        x->next_ms = now_ms + x->period_ms;
        if (x->check || s->stopping || s->state->member_count < 2 || !server_is_leader(s) ||
                        state_alarm(s->state, ALARM_CORRUPT))
                return;
        x->check = calloc(1, sizeof(*x->check));
        if (!x->check)
                return;
        x->check->server = s;
        if (server_hash(s, mvcc_rev(s->state->kv.mvcc), on_own, x->check) < 0)
                free_check(x->check);
}

static void stop(struct server *s, void *state) {
        struct corrupt *x = state;

        if (!x->check)
                return;
        if (x->check->asked)
                free_check(x->check);
        else
                x->check->abandoned = true; /* the end of the hashes ends it */
}

static int configure(struct server *s, void *state, struct problem *p) {
        struct corrupt *x = state;
        uint64_t us;

        if (parse_duration_us(s->options->corrupt_check_time, &us) < 0)
                return problem_set(p, EINVAL, 0, NULL,
                                "--corrupt-check-time \"%s\" is not a duration, such as 10m or 0",
                                s->options->corrupt_check_time);
        x->period_ms = us / 1000;
        return 0;
}

const struct server_part corrupt_part = {.name = "corrupt",
                .size = sizeof(struct corrupt),
                .configure = configure,
                .turn = turn,
                .stop = stop};
