/* Each connection has a lane: its answers in the order in which they came, of which the first few
 * are being made. Those that can continue are ready, and get one step each in turn.
 *
 *   waiting in its lane -> ready (planning, then writing) <-> waiting for its client -> ended */
#include "kstored/service/answers.h"

#include <sys/queue.h>
#include <uthash.h>

#include "kstored/errors.h"
#include "lib/loop-turn.h"
#include "lib/timefmt.h"

struct lane;

enum where { IN_LANE, READY, WITH_CLIENT };

struct sending_answer {
        struct answers *all;
        struct lane *lane;
        struct grpc_call *call;
        struct buf head;
        struct kv_answer answer;
        size_t bytes; /* as counted */
        enum where where;
        bool begun;                       /* the message's prefix is out */
        bool moved;                       /* since the last look */
        TAILQ_ENTRY(sending_answer) link; /* in the lane, in order */
        TAILQ_ENTRY(sending_answer) ready_link;
};

TAILQ_HEAD(answer_list, sending_answer);

struct lane {
        const void *connection;
        struct answer_list list;
        size_t active;
        UT_hash_handle hh;
};

struct answers {
        struct loop_turn *turn;
        struct mvcc *mvcc;
        struct lane *lanes;
        struct answer_list ready;
        size_t count, bytes;
        uint64_t held_since_ms; /* 0: no compaction waits */
};

static void on_drained(struct grpc_call *call, void *userdata);

static void make_ready(struct sending_answer *s) {
        if (s->where == READY)
                return;
        s->where = READY;
        TAILQ_INSERT_TAIL(&s->all->ready, s, ready_link);
        loop_turn_ask(s->all->turn);
}

/* The next of the lane, as long as there is room for them. */
static void lane_advance(struct lane *l) {
        struct sending_answer *s;

        TAILQ_FOREACH(s, &l->list, link) {
                if (l->active >= ANSWERS_OF_CONNECTION)
                        break;
                if (s->where != IN_LANE)
                        continue;
                l->active++;
                make_ready(s);
        }
}

static void count_bytes(struct sending_answer *s, size_t bytes) {
        s->all->bytes += bytes - s->bytes;
        s->bytes = bytes;
}

/* Does not touch the call. */
static void forget(struct sending_answer *s) {
        struct answers *all = s->all;
        struct lane *l = s->lane;

        count_bytes(s, 0);
        all->count--;
        if (s->where == READY)
                TAILQ_REMOVE(&all->ready, s, ready_link);
        if (s->where != IN_LANE)
                l->active--;
        TAILQ_REMOVE(&l->list, s, link);
        if (TAILQ_EMPTY(&l->list)) {
                HASH_DEL(all->lanes, l);
                free(l);
        } else
                lane_advance(l);
        answer_done(&s->answer);
        buf_done(&s->head);
        free(s);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        forget(userdata);
}

static void end(struct sending_answer *s, enum grpc_code code, const char *why) {
        struct grpc_call *call = s->call;

        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_on_drained(call, NULL, NULL);
        forget(s);
        grpc_call_finish(call, code, why);
}

static void refuse(struct sending_answer *s, enum store_error e) {
        end(s, store_error_code(e), store_error_text(e));
}

/* Rows of its revision may be gone. */
static bool is_lost(const struct sending_answer *s) {
        return s->answer.hold_rev != 0 && s->answer.hold_rev < mvcc_compact_rev(s->all->mvcc);
}

static void fail(struct sending_answer *s, int r) {
        if (is_lost(s) || r == -ENODATA || r == -ESTALE)
                refuse(s, STORE_COMPACTED);
        else if (r == -EMSGSIZE)
                end(s, GRPC_RESOURCE_EXHAUSTED,
                                "etcdserver: the answer is larger than 2 GB; read it in parts, "
                                "with a limit");
        else
                refuse(s, store_error_from_errno(r));
}

/* The size is known: the message begins. */
static int send_head(struct sending_answer *s) {
        int r = grpc_call_begin(s->call, s->head.size + s->answer.size);

        if (r < 0)
                return r;
        return grpc_call_piece(s->call, s->head.data, s->head.size);
}

static int begin(struct sending_answer *s) {
        int r = send_head(s);

        s->begun = r >= 0;
        buf_done(&s->head);
        return r;
}

/* 1 when there is more to write, 0 when that was all. */
static int send_piece(struct sending_answer *s, size_t size_max, work_left *work) {
        _cleanup_buf_ struct buf piece = {0};
        int r = answer_write(&s->answer, s->all->mvcc, &piece, size_max, work);

        if (r < 0)
                return r;
        if (piece.size > 0 && grpc_call_piece(s->call, piece.data, piece.size) < 0)
                return -ENOMEM;
        s->moved = true;
        return r;
}

/* 1 when there is more to do and the client has room, 0 when it is ended or waits. */
static int advance(struct sending_answer *s) {
        work_left work = WORK_STEP;
        size_t queued;
        int r = answer_plan(&s->answer, s->all->mvcc, &work);

        count_bytes(s, answer_bytes(&s->answer));
        if (r != 0)
                return r;
        if (!s->begun) {
                r = begin(s);
                if (r < 0)
                        return r;
        }
        queued = grpc_call_queued(s->call);
        if (queued < ANSWERS_AHEAD) {
                r = send_piece(s, ANSWERS_AHEAD - queued, &work);
                if (r < 0)
                        return r;
                if (r == 0) {
                        end(s, GRPC_OK, NULL);
                        return 0;
                }
        }
        if (grpc_call_queued(s->call) < ANSWERS_AHEAD)
                return 1;
        s->where = WITH_CLIENT;
        TAILQ_REMOVE(&s->all->ready, s, ready_link);
        return 0;
}

static int step(struct sending_answer *s) {
        /* A compaction that is done was not held up for it. */
        bool gone = is_lost(s) && !mvcc_compacting(s->all->mvcc);
        int r = gone ? -ENODATA : advance(s);

        if (r < 0) {
                fail(s, r);
                return 0;
        }
        return r;
}

static void on_drained(struct grpc_call *call, void *userdata) {
        struct sending_answer *s = userdata;

        if (s->where == WITH_CLIENT)
                make_ready(s);
}

static void on_slice(void *userdata) {
        struct answers *x = userdata;
        uint64_t until_us = now_mono_us() + ANSWERS_SLICE_US;
        struct sending_answer *s;

        while ((s = TAILQ_FIRST(&x->ready))) {
                if (step(s) > 0) {
                        TAILQ_REMOVE(&x->ready, s, ready_link);
                        TAILQ_INSERT_TAIL(&x->ready, s, ready_link);
                }
                if (now_mono_us() >= until_us)
                        break;
        }
        if (!TAILQ_EMPTY(&x->ready))
                loop_turn_ask(x->turn);
}

int answers_new(struct answers **ret, sd_event *event) {
        _cleanup_(answers_freep) struct answers *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return -ENOMEM;
        TAILQ_INIT(&x->ready);
        r = loop_turn_new(&x->turn, event, SD_EVENT_PRIORITY_NORMAL, on_slice, x);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(x);
        return 0;
}

struct answers *answers_free(struct answers *x) {
        if (!x)
                return NULL;
        assert(x->count == 0);
        loop_turn_free(x->turn);
        return mfree(x);
}

static struct lane *lane_of(struct answers *x, const void *connection) {
        struct lane *l;

        HASH_FIND_PTR(x->lanes, &connection, l);
        if (l)
                return l;
        l = calloc(1, sizeof(*l));
        if (!l)
                return NULL;
        l->connection = connection;
        TAILQ_INIT(&l->list);
        HASH_ADD_PTR(x->lanes, connection, l);
        return l;
}

static int add(struct answers *x, struct grpc_call *call, struct buf *head, struct kv_answer *a) {
        struct sending_answer *s;

        if (answer_failed(a) || head->failed)
                return -ENOMEM;
        if (x->count >= ANSWERS_MAX || x->bytes + answer_bytes(a) > ANSWERS_BYTES_MAX)
                return -ENOBUFS;
        s = calloc(1, sizeof(*s));
        if (s)
                s->lane = lane_of(x, grpc_call_connection(call));
        if (!s || !s->lane) {
                free(s);
                return -ENOMEM;
        }
        s->all = x;
        s->call = call;
        s->head = *head;
        s->answer = *a;
        *head = (struct buf){0};
        *a = (struct kv_answer){0};
        x->count++;
        count_bytes(s, answer_bytes(&s->answer));
        TAILQ_INSERT_TAIL(&s->lane->list, s, link);
        grpc_call_on_gone(call, on_gone, s);
        grpc_call_on_drained(call, on_drained, s);
        lane_advance(s->lane);
        return 0;
}

int answers_send(struct answers *x, struct grpc_call *call, struct buf *head, struct kv_answer *a) {
        int r = add(x, call, head, a);

        buf_done(head);
        answer_done(a);
        return r;
}

static struct sending_answer *first_lost(struct answers *x) {
        struct sending_answer *s;

        for (struct lane *l = x->lanes; l; l = l->hh.next)
                TAILQ_FOREACH(s, &l->list, link)
        if (is_lost(s))
                return s;
        return NULL;
}

static void end_lost(struct answers *x) {
        struct sending_answer *s;

        while ((s = first_lost(x)))
                refuse(s, STORE_COMPACTED);
        x->held_since_ms = 0;
}

void answers_set_store(struct answers *x, struct mvcc *mvcc) {
        bool had = x->mvcc && x->mvcc != mvcc;

        x->mvcc = mvcc;
        /* Another member's, whose compaction may be done already. */
        if (had)
                end_lost(x);
}

bool answers_hold(struct answers *x, uint64_t now_ms) {
        if (!mvcc_compacting(x->mvcc) || !first_lost(x)) {
                x->held_since_ms = 0;
                return false;
        }
        if (x->held_since_ms == 0)
                x->held_since_ms = now_ms;
        if (now_ms < x->held_since_ms + ANSWERS_HOLD_MS)
                return true;
        end_lost(x);
        return false;
}

void answers_idle(struct answers *x) {
        struct sending_answer *s;

        for (struct lane *l = x->lanes; l; l = l->hh.next)
                TAILQ_FOREACH(s, &l->list, link) {
                        if (s->where == WITH_CLIENT && !s->moved)
                                answer_let_go(&s->answer);
                        s->moved = false;
                }
}

size_t answers_count(const struct answers *x) {
        return x->count;
}
