/* A member that begins empty among others asks each of them, repeatedly, whether it was a member
 * before, and takes part once enough say no (first-life-judge.c). Until then its replica does
 * nothing (replica/heard.c). */
#include "kstored/server/first-life.h"

#include <sysexits.h>

#include "kstored/server/first-life-judge.h"
#include "kstored/server/peers.h"
#include "kstored/server/server.h"
#include "lib/log.h"

enum { ASK_MS = 500, ANSWER_US = 2000000, COMPLAIN_MS = 30000, COMPLAIN_FIRST_MS = 5000 };

struct question {
        struct server *server;
        uint64_t member;
        struct grpc_client_call *call; /* under way */
        enum first_life_answer answer;
        uint64_t by; /* which member answers there now: that one may have been replaced */
};

struct first_life {
        bool asking; /* the questions are filled in */
        uint64_t next_ask_ms, next_complaint_ms;
        struct question questions[RAFT_MEMBERS_MAX];
        size_t count, voters;
};

static struct first_life *first_life_of(const struct server *s) {
        return server_part(s, SERVER_PART_FIRST_LIFE);
}

static size_t count_voters(const Keelsonpeer__MembersReply *r) {
        size_t n = 0;

        for (size_t i = 0; i < r->n_members; i++)
                n += !r->members[i]->learner;
        return n;
}

static enum first_life_answer read_answer(
                const struct server *s, const Keelsonpeer__MembersReply *r) {
        for (size_t i = 0; i < r->n_heard; i++)
                if (r->heard[i] == s->member_id)
                        return FIRST_LIFE_KNOWS;
        for (size_t i = 0; i < r->n_members; i++)
                if (r->members[i]->id == s->member_id && r->members[i]->n_client_urls > 0)
                        return FIRST_LIFE_KNOWS; /* only the member itself publishes them */
        return r->is_new ? FIRST_LIFE_NEW : FIRST_LIFE_RUNS;
}

void first_life_over(struct server *s) {
        _cleanup_free_ char *why = first_life_refusal(s->member_id, s->options->name);

        if (s->stopping)
                return;
        log_error("%s", strempty(why));
        s->exit_status = EX_CONFIG; /* the unit does not start it again */
        server_stop(s);
}

static void judge(struct server *s, const struct first_life *f) {
        enum first_life_answer answers[RAFT_MEMBERS_MAX];

        for (size_t i = 0; i < f->count; i++)
                answers[i] = f->questions[i].answer;
        switch (first_life_judge(answers, f->count, f->voters)) {
        case FIRST_LIFE_WAIT:
                return;
        case FIRST_LIFE_CONFIRMED:
                replica_confirm(s->replica);
                return;
        case FIRST_LIFE_REFUSED:
                first_life_over(s);
                return;
        }
}

static void take_answer(struct question *q, const Keelsonpeer__MembersReply *reply) {
        struct first_life *f = first_life_of(q->server);

        q->by = reply->member_id ? reply->member_id : q->member;
        q->answer = read_answer(q->server, reply);
        for (size_t i = 0; i < f->count; i++)
                if (&f->questions[i] != q && f->questions[i].by == q->by &&
                                f->questions[i].answer != FIRST_LIFE_SILENT &&
                                q->answer != FIRST_LIFE_KNOWS)
                        q->answer = FIRST_LIFE_SILENT; /* it counts once */
        f->voters = MAX(f->voters, count_voters(reply));
        if (q->server->replica->fresh && !q->server->stopping)
                judge(q->server, f);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct question *q = userdata;
        Keelsonpeer__MembersReply *reply = keelsonpeer__members_reply__unpack(NULL, n, data);

        if (!reply)
                return;
        if (reply->cluster_id == q->server->cluster_id) /* another cluster's means nothing */
                take_answer(q, reply);
        keelsonpeer__members_reply__free_unpacked(reply, NULL);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct question *q = userdata;

        q->call = NULL;
}

static void ask(struct server *s, struct first_life *f) {
        const struct grpc_client_call_options o = {.path = "/keelsonpeer.Peer/Members",
                        .timeout_us = ANSWER_US,
                        .fail_fast = true,
                        .on_message = on_message,
                        .on_done = on_done};

        for (size_t i = 0; i < f->count; i++) {
                struct question *q = &f->questions[i];
                struct grpc_channel *channel = peers_channel(s->peers, q->member);
                struct grpc_client_call_options mine = o;

                if (q->call) /* the last one still stands: it will end */
                        continue;
                q->answer = FIRST_LIFE_SILENT;
                mine.userdata = q;
                if (channel)
                        (void)grpc_client_unary(channel, &mine, "", 0, &q->call);
        }
}

static void complain(const struct server *s, const struct first_life *f) {
        _cleanup_buf_ struct buf b = {0};

        for (size_t i = 0; i < f->count; i++) {
                const struct member *m = state_member(s->state, f->questions[i].member);

                if (f->questions[i].answer != FIRST_LIFE_SILENT || !m)
                        continue;
                (void)buf_append_str(&b, b.size > 0 ? ", " : "");
                (void)buf_append_str(&b, strempty(m->name));
        }
        (void)buf_append_char(&b, '\0');
        log_notice("This member begins with an empty data directory. It takes no part until enough "
                   "of the others say that they do not know it from before; no answer yet from: %s",
                        b.failed ? "" : b.data);
}

static void begin(struct server *s, struct first_life *f, uint64_t now_ms) {
        f->asking = true;
        f->next_complaint_ms = now_ms + COMPLAIN_FIRST_MS;
        for (size_t i = 0; i < s->state->member_count; i++)
                if (s->state->members[i]->id != s->member_id)
                        f->questions[f->count++] = (struct question){
                                        .server = s, .member = s->state->members[i]->id};
}

void first_life_soon(struct server *s) {
        first_life_of(s)->next_ask_ms = 0;
}

static void stop(struct server *s, void *state) {
        struct first_life *f = state;

        for (size_t i = 0; i < f->count; i++)
                f->questions[i].call = grpc_client_call_cancel(f->questions[i].call);
        f->asking = false;
        f->count = 0;
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct first_life *f = state;

        if (!s->replica->fresh) {
                if (!f->asking)
                        return;
                log_info("None of the others knows this member from before: it takes part");
                stop(s, f);
                peers_greet(s->peers); /* the streams were opened as one that does not take part */
                raft_hurry(s->raft, 0);
                return;
        }
        if (s->stopping || s->replica->confirming)
                return;
        if (!f->asking)
                begin(s, f, now_ms);
        if (now_ms < f->next_ask_ms)
                return;
        if (now_ms >= f->next_complaint_ms) {
                complain(s, f);
                f->next_complaint_ms = now_ms + COMPLAIN_MS;
        }
        ask(s, f);
        f->next_ask_ms = now_ms + ASK_MS;
}

const struct server_part first_life_part = {.name = "first-life",
                .size = sizeof(struct first_life),
                .turn = turn,
                .stop = stop};

char *first_life_refusal(uint64_t member_id, const char *name) {
        return strformat("member %llx (%s) took part in the cluster before, and its data directory "
                         "is empty now: it has lost promises that it made, and must not come back "
                         "under its old id. Replace it from the others: kstored "
                         "--config FILE --replace (or etcdctl member remove %llx, etcdctl member "
                         "add, and a start with --initial-cluster-state=existing)",
                        (unsigned long long)member_id, name, (unsigned long long)member_id);
}
