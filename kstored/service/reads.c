/* Linearizable reads. All that came in one turn of the loop share a barrier: a question to Raft
 * (read index, Raft thesis section 6.4) whose answer is the index that must be applied first. A
 * question whose answer does not come is repeated. */
#include "kstored/service/reads.h"

#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "lib/random.h"

enum { READ_BYTES_MAX = 64 * 1024 * 1024, REPEAT_HEARTBEATS = 3 };

struct waiting_read {
        STAILQ_ENTRY(waiting_read) link;
        struct server *server;
        struct grpc_call *call; /* NULL: gone */
        read_serve serve;
        read_ready ready; /* instead of call and serve */
        void *userdata;
        size_t size;
        char data[];
};

struct barrier {
        TAILQ_ENTRY(barrier) link;
        uint64_t context;
        uint64_t index; /* 0: not answered yet */
        uint64_t asked_ms, end_ms;
        STAILQ_HEAD(, waiting_read) reads;
};

struct reads {
        TAILQ_HEAD(, barrier) barriers; /* asked for, the oldest first */
        struct barrier *gathering;      /* the reads of this turn; NULL: none yet */
        uint64_t next_context;
        size_t count, bytes;
};

static struct reads *reads_of(const struct server *s) {
        return server_part(s, SERVER_PART_READS);
}

static void on_read_gone(struct grpc_call *call, void *userdata) {
        struct waiting_read *w = userdata;
        struct reads *x = reads_of(w->server);

        assert(x->count > 0);
        w->call = NULL;
        x->count--;
}

/* One more for the next barrier, with room for n bytes. */
static enum store_error read_new(struct server *s, size_t n, struct waiting_read **ret) {
        struct reads *x = reads_of(s);
        struct waiting_read *w;

        if (server_is_learner(s)) /* as etcd: it serves only what may be old */
                return STORE_NOT_FOR_LEARNER;
        if (requests_are_too_many(s) || x->bytes + n > READ_BYTES_MAX)
                return STORE_TOO_MANY_REQUESTS;
        w = malloc(sizeof(*w) + n);
        if (!w)
                return STORE_NO_MEMORY;
        if (!x->gathering) { /* never without a read in it */
                x->gathering = calloc(1, sizeof(*x->gathering));
                if (!x->gathering) {
                        free(w);
                        return STORE_NO_MEMORY;
                }
                STAILQ_INIT(&x->gathering->reads);
        }
        *w = (struct waiting_read){.server = s, .size = n};
        STAILQ_INSERT_TAIL(&x->gathering->reads, w, link);
        x->count++;
        x->bytes += n;
        *ret = w;
        return STORE_OK;
}

void server_read(struct server *s, struct grpc_call *call, const void *data, size_t n,
                read_serve serve) {
        struct waiting_read *w;
        enum store_error e = read_new(s, n, &w);

        if (e) {
                server_refuse(call, e);
                return;
        }
        w->call = call;
        w->serve = serve;
        memcpy(w->data, data, n);
        grpc_call_on_gone(call, on_read_gone, w);
}

enum store_error server_read_wait(struct server *s, read_ready ready, void *userdata) {
        struct waiting_read *w;
        enum store_error e = read_new(s, 0, &w);

        if (e)
                return e;
        w->ready = ready;
        w->userdata = userdata;
        return STORE_OK;
}

/* One barrier for every read that came since the last. */
static void ask(struct server *s, void *state, uint64_t now_ms) {
        struct reads *x = state;
        struct barrier *b = TAKE_PTR(x->gathering);

        if (!b)
                return;
        assert(!STAILQ_EMPTY(&b->reads) && b->index == 0);
        b->context = ++x->next_context;
        b->asked_ms = now_ms;
        b->end_ms = now_ms + server_time_limit_ms(s);
        TAILQ_INSERT_TAIL(&x->barriers, b, link);
        (void)raft_read_index(s->raft, b->context);
}

void reads_allowed(struct server *s, const struct raft_read *read) {
        struct barrier *b;

        TAILQ_FOREACH(b, &reads_of(s)->barriers, link)
        if (b->context == read->context && read->index != 0) {
                b->index = read->index;
                return;
        }
}

static void barrier_finish(struct server *s, struct barrier *b, enum store_error e) {
        struct reads *x = reads_of(s);
        struct waiting_read *w;

        while ((w = STAILQ_FIRST(&b->reads))) {
                STAILQ_REMOVE_HEAD(&b->reads, link);
                assert(x->bytes >= w->size);
                x->bytes -= w->size;
                if (w->ready || w->call)
                        x->count--;
                if (w->ready)
                        w->ready(s, e, w->userdata);
                else if (w->call) {
                        grpc_call_on_gone(w->call, NULL, NULL);
                        if (e)
                                server_refuse(w->call, e);
                        else
                                w->serve(s, w->call, w->data, w->size);
                }
                free(w);
        }
        free(b);
}

void reads_serve(struct server *s) {
        struct reads *x = reads_of(s);
        struct barrier *next;

        for (struct barrier *b = TAILQ_FIRST(&x->barriers); b; b = next) {
                next = TAILQ_NEXT(b, link);
                if (b->index == 0 || b->index > s->state->applied)
                        continue;
                TAILQ_REMOVE(&x->barriers, b, link);
                barrier_finish(s, b, STORE_OK);
        }
}

static void expire(struct server *s, void *state, uint64_t now_ms) {
        struct reads *x = state;
        struct barrier *next;

        for (struct barrier *b = TAILQ_FIRST(&x->barriers); b; b = next) {
                next = TAILQ_NEXT(b, link);
                if (b->end_ms <= now_ms) {
                        s->counts.read_indexes_failed++;
                        TAILQ_REMOVE(&x->barriers, b, link);
                        barrier_finish(s, b, STORE_TIMEOUT);
                } else if (b->index == 0 &&
                                now_ms >= b->asked_ms + (uint64_t)s->options->heartbeat_ms *
                                                                                REPEAT_HEARTBEATS) {
                        /* The question or its answer got lost. */
                        b->asked_ms = now_ms;
                        s->counts.read_indexes_slow++;
                        (void)raft_read_index(s->raft, b->context);
                }
        }
}

size_t reads_pending(const struct server *s) {
        return reads_of(s)->count;
}

bool reads_gathering(const struct server *s) {
        return reads_of(s)->gathering;
}

static int configure(struct server *s, void *state, struct problem *p) {
        struct reads *x = state;

        TAILQ_INIT(&x->barriers);
        /* Distinct from those of other members and of earlier runs: an answer to one of them may
         * still come. */
        x->next_context = random_u64() >> 2;
        return 0;
}

/* Their clients are gone; those that wait with read_ready have something to free. */
static void end(struct server *s, void *state) {
        struct reads *x = state;
        struct barrier *b = TAKE_PTR(x->gathering);

        if (b)
                barrier_finish(s, b, STORE_STOPPED);
        while ((b = TAILQ_FIRST(&x->barriers))) {
                TAILQ_REMOVE(&x->barriers, b, link);
                barrier_finish(s, b, STORE_STOPPED);
        }
}

const struct server_part reads_part = {.name = "reads",
                .size = sizeof(struct reads),
                .configure = configure,
                .prepare = ask,
                .second = expire,
                .end = end};
