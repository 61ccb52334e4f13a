/* Answers: small ones at once, large ones through answers.h. */
#include "kstored/service/reply.h"

#include "kstored/server/server.h"
#include "kstored/service/answers.h"

struct reply {
        struct answers *answers; /* large ones, being made */
};

static struct answers *answers_of(const struct server *s) {
        const struct reply *x = server_part(s, SERVER_PART_REPLY);

        return x->answers;
}

void server_refuse(struct grpc_call *call, enum store_error e) {
        grpc_call_finish(call, store_error_code(e), store_error_text(e));
}

void server_header(const struct server *s, struct buf *b, int64_t rev) {
        struct raft_status status;
        size_t mark;

        raft_get_status(s->raft, &status);
        mark = wire_begin(b, 1);
        wire_uint(b, 1, s->cluster_id);
        wire_uint(b, 2, s->member_id);
        wire_uint(b, 3, (uint64_t)rev);
        wire_uint(b, 4, status.term);
        wire_end(b, mark);
}

void server_reply(struct server *s, struct grpc_call *call, int64_t rev, const struct buf *fields) {
        _cleanup_buf_ struct buf b = {0};

        server_header(s, &b, rev);
        if (fields && fields->size > 0)
                (void)buf_append(&b, fields->data, fields->size);
        if (b.failed || (fields && fields->failed))
                server_refuse(call, STORE_NO_MEMORY);
        else
                grpc_call_reply(call, b.data, b.size);
}

void server_answer(struct server *s, struct grpc_call *call, int64_t rev, struct kv_answer *a) {
        _cleanup_buf_ struct buf head = {0};

        if (answer_failed(a))
                server_refuse(call, STORE_NO_MEMORY);
        else if (!answer_is_long(a) && a->text.size <= ANSWERS_AHEAD)
                server_reply(s, call, rev, &a->text);
        else {
                server_header(s, &head, rev);
                server_send_answer(s, call, &head, a);
        }
}

void server_send_answer(
                struct server *s, struct grpc_call *call, struct buf *head, struct kv_answer *a) {
        int r = answers_send(answers_of(s), call, head, a);

        if (r < 0)
                server_refuse(call, r == -ENOMEM ? STORE_NO_MEMORY : STORE_TIMEOUT);
}

static int start(struct server *s, void *state, struct problem *p) {
        struct reply *x = state;
        int r = answers_new(&x->answers, s->event);

        if (r < 0)
                return r;
        answers_set_store(x->answers, s->state->kv.mvcc);
        return 0;
}

/* A snapshot may have put another store in place. */
static void turn(struct server *s, void *state, uint64_t now_ms) {
        answers_set_store(answers_of(s), s->state->kv.mvcc);
}

static void tick(struct server *s, void *state, uint64_t now_ms) {
        s->replica->hold_dropping = answers_hold(answers_of(s), now_ms);
}

static void second(struct server *s, void *state, uint64_t now_ms) {
        answers_idle(answers_of(s));
}

static void end(struct server *s, void *state) {
        struct reply *x = state;

        x->answers = answers_free(x->answers);
}

const struct server_part reply_part = {.name = "reply",
                .size = sizeof(struct reply),
                .start = start,
                .turn = turn,
                .tick = tick,
                .second = second,
                .end = end};
