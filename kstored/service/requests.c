/* Requests that wait: for their entry to be applied, or for a read barrier. Each has a time limit,
 * and each is answered exactly once, unless its client went away first. */
#include <uthash.h>

#include "kstored/server/server.h"
#include "lib/log.h"
#include "lib/timefmt.h"

/* A proposal that nobody could take, because there was no leader. */
struct held {
        enum command_kind kind;
        size_t size;
        char data[];
};

struct request {
        struct held *held; /* until there is a leader; NULL: proposed */
        uint64_t id;
        struct grpc_call *call;
        request_done done;
        struct server *server;
        uint64_t end_ms;
        struct request *older, *newer;
        UT_hash_handle hh;
};

struct waiting_read {
        struct waiting_read *next;
        struct barrier *barrier;
        struct grpc_call *call; /* NULL: gone */
        read_serve serve;
        read_ready ready; /* instead of call and serve */
        void *userdata;
        size_t size;
        char data[];
};

struct barrier {
        struct barrier *next;
        uint64_t context;
        uint64_t index; /* 0: not answered yet */
        uint64_t asked_ms, end_ms;
        struct waiting_read *reads, **tail;
        struct server *server;
};

uint64_t server_now_ms(void) {
        return now_mono_us() / 1000;
}

uint64_t server_time_limit_ms(const struct server *s) {
        return 5000 + 2 * (uint64_t)s->options->election_ms;
}

static void request_unhold(struct server *s, struct request *q) {
        if (!q->held)
                return;
        s->held_count--;
        s->held_bytes -= q->held->size;
        q->held = mfree(q->held);
}

static void request_unlink(struct server *s, struct request *q) {
        HASH_DEL(s->requests, q);
        if (q->older)
                q->older->newer = q->newer;
        else
                s->first = q->newer;
        if (q->newer)
                q->newer->older = q->older;
        else
                s->last = q->older;
        s->request_count--;
        request_unhold(s, q);
        free(q);
}

static void on_request_gone(struct grpc_call *call, void *userdata) {
        struct request *q = userdata;

        request_unlink(q->server, q);
}

static void standard_done(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        if (o->error)
                server_refuse(call, o->error);
        else
                server_answer(s, call, o->rev, o->answer);
}

static void request_finish(struct server *s, struct request *q, const struct outcome *o) {
        struct grpc_call *call = q->call;
        request_done done = q->done;

        request_unlink(s, q);
        grpc_call_on_gone(call, NULL, NULL);
        done(s, call, o, NULL);
}

static struct request *request_new(
                struct server *s, struct grpc_call *call, uint64_t id, request_done done) {
        struct request *q;

        if (s->request_count >= SERVER_PENDING_MAX) {
                server_refuse(call, STORE_TOO_MANY_REQUESTS);
                return NULL;
        }
        q = calloc(1, sizeof(*q));
        if (!q) {
                server_refuse(call, STORE_NO_MEMORY);
                return NULL;
        }
        q->id = id;
        q->call = call;
        q->done = done ? done : standard_done;
        q->server = s;
        q->end_ms = server_now_ms() + server_time_limit_ms(s);
        q->older = s->last;
        if (s->last)
                s->last->newer = q;
        else
                s->first = q;
        s->last = q;
        HASH_ADD(hh, s->requests, id, sizeof(q->id), q);
        s->request_count++;
        grpc_call_on_gone(call, on_request_gone, q);
        return q;
}

static struct request *request_find(const struct server *s, uint64_t id) {
        struct request *q;

        HASH_FIND(hh, s->requests, &id, sizeof(id), q);
        return q;
}

static enum store_error propose_error(int r) {
        switch (r) {
        case -ENOTCONN:
                return STORE_NO_LEADER;
        case -EAGAIN:
                return STORE_TOO_MANY_REQUESTS;
        case -EBUSY:
                return STORE_UNHEALTHY;
        case -EEXIST:
                return STORE_MEMBER_EXISTS;
        case -ENOENT:
                return STORE_MEMBER_NOT_FOUND;
        case -EINVAL:
                return STORE_MEMBERS_NOT_STARTED;
        default:
                return STORE_NO_MEMORY;
        }
}

static void fail_now(struct server *s, uint64_t id, int r) {
        struct outcome o = {.error = propose_error(r)};

        s->counts.proposals_failed++;
        requests_outcome(s, id, &o);
}

/* As etcd: one that is catching up serves only what may be old. */
static bool is_learner(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.learner;
}

/* As etcd, which lets changes wait out an election: they go on when there is a leader, or end with
 * their time. */
static int request_hold(
                struct server *s, uint64_t id, enum command_kind kind, const void *data, size_t n) {
        struct request *q = request_find(s, id);

        if (!q || s->held_bytes + n > SERVER_HELD_BYTES_MAX)
                return -ENOTCONN;
        q->held = malloc(sizeof(*q->held) + n);
        if (!q->held)
                return -ENOMEM;
        *q->held = (struct held){.kind = kind, .size = n};
        memcpy(q->held->data, data, n);
        s->held_count++;
        s->held_bytes += n;
        return 0;
}

void requests_propose_held(struct server *s) {
        struct request *q, *newer;

        for (q = s->held_count > 0 ? s->first : NULL; q; q = newer) {
                int r;

                newer = q->newer;
                if (!q->held)
                        continue;
                r = replica_propose(s->replica, q->held->kind, q->id, q->held->data, q->held->size);
                if (r == -ENOTCONN)
                        return;
                request_unhold(s, q);
                if (r < 0)
                        fail_now(s, q->id, r);
        }
}

void server_propose(struct server *s, struct grpc_call *call, enum command_kind kind,
                const void *data, size_t n, request_done done) {
        uint64_t id = s->next_request_id++;
        int r;

        if (call && (s->stopping || is_learner(s))) {
                server_refuse(call, s->stopping ? STORE_STOPPED : STORE_NOT_FOR_LEARNER);
                return;
        }
        if (call && !request_new(s, call, id, done))
                return;
        r = replica_propose(s->replica, kind, id, data, n);
        if (r == -ENOTCONN)
                r = request_hold(s, id, kind, data, n);
        if (r < 0)
                fail_now(s, id, r);
}

void server_propose_change(struct server *s, struct grpc_call *call,
                const struct raft_change *change, const void *data, size_t n, request_done done) {
        struct raft_status status;
        int r;

        /* Entries of this kind have no id: they are found by their index, which only a leader
         * knows. */
        raft_get_status(s->raft, &status);
        if (status.role != RAFT_LEADER) {
                server_refuse(call, status.leader ? STORE_NOT_LEADER : STORE_NO_LEADER);
                return;
        }
        if (!request_new(s, call, UINT64_MAX - (status.last + 1), done))
                return;
        r = raft_propose_change(s->raft, change, data, n);
        if (r < 0)
                fail_now(s, UINT64_MAX - (status.last + 1), r);
}

static size_t varint_size(uint64_t v) {
        size_t n = 1;

        while (v >>= 7)
                n++;
        return n;
}

/* etcd's limit is one of what it gives to Raft (InternalRaftRequest): the request as a field, with
 * tag and length, and in a header of field 100 the request's id, which has the lowest 16 bits of
 * the member's on top. */
enum store_error server_check_size(const struct server *s, size_t bytes) {
        uint64_t id = s->member_id << 48 | (((uint64_t)1 << 48) - 1);
        size_t header = 2 + 1 + 1 + varint_size(id);

        return 1 + varint_size(bytes) + bytes + header > s->options->max_request_bytes
                               ? STORE_TOO_LARGE
                               : STORE_OK;
}

bool requests_waiting(const struct server *s, uint64_t id) {
        return request_find(s, id);
}

void requests_outcome(struct server *s, uint64_t id, const struct outcome *o) {
        struct request *q = request_find(s, id);

        if (q)
                request_finish(s, q, o);
}

void requests_fail_all(struct server *s, enum store_error e) {
        struct outcome o = {.error = e};

        while (s->first) {
                s->counts.proposals_failed++;
                request_finish(s, s->first, &o);
        }
}

size_t requests_pending(const struct server *s) {
        return HASH_COUNT(s->requests);
}

static void on_read_gone(struct grpc_call *call, void *userdata) {
        struct waiting_read *w = userdata;

        w->call = NULL;
        w->barrier->server->request_count--;
}

/* One more for the next barrier, with room for n bytes. */
static enum store_error read_new(struct server *s, size_t n, struct waiting_read **ret) {
        struct waiting_read *w;

        if (is_learner(s))
                return STORE_NOT_FOR_LEARNER;
        if (s->request_count >= SERVER_PENDING_MAX || s->read_bytes + n > SERVER_READ_BYTES_MAX)
                return STORE_TOO_MANY_REQUESTS;
        if (!s->gathering) {
                s->gathering = calloc(1, sizeof(*s->gathering));
                if (s->gathering) {
                        s->gathering->server = s;
                        s->gathering->tail = &s->gathering->reads;
                }
        }
        w = s->gathering ? malloc(sizeof(*w) + n) : NULL;
        if (!w)
                return STORE_NO_MEMORY;
        *w = (struct waiting_read){.barrier = s->gathering, .size = n};
        *s->gathering->tail = w;
        s->gathering->tail = &w->next;
        s->request_count++;
        s->read_bytes += n;
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

        if (!e) {
                w->ready = ready;
                w->userdata = userdata;
        }
        return e;
}

/* One barrier for every read that came since the last. */
void reads_ask(struct server *s) {
        struct barrier *b = s->gathering;

        if (!b)
                return;
        s->gathering = NULL;
        b->context = ++s->next_barrier;
        b->asked_ms = server_now_ms();
        b->end_ms = b->asked_ms + server_time_limit_ms(s);
        if (s->barriers_last)
                s->barriers_last->next = b;
        else
                s->barriers = b;
        s->barriers_last = b;
        (void)raft_read_index(s->raft, b->context);
}

void reads_allowed(struct server *s, const struct raft_read *r) {
        for (struct barrier *b = s->barriers; b; b = b->next)
                if (b->context == r->context && r->index != 0) {
                        b->index = r->index;
                        return;
                }
}

static void barrier_finish(struct server *s, struct barrier *b, enum store_error e) {
        while (b->reads) {
                struct waiting_read *w = b->reads;

                b->reads = w->next;
                s->read_bytes -= w->size;
                if (w->ready) {
                        s->request_count--;
                        w->ready(s, e, w->userdata);
                } else if (w->call) {
                        s->request_count--;
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

static void unlink_barrier(struct server *s, struct barrier *b, struct barrier *before) {
        if (before)
                before->next = b->next;
        else
                s->barriers = b->next;
        if (s->barriers_last == b)
                s->barriers_last = before;
}

void reads_serve(struct server *s) {
        struct barrier *before = NULL, *next;

        for (struct barrier *b = s->barriers; b; b = next) {
                next = b->next;
                if (b->index == 0 || b->index > s->state->applied) {
                        before = b;
                        continue;
                }
                unlink_barrier(s, b, before);
                barrier_finish(s, b, STORE_OK);
        }
}

void requests_expire(struct server *s, uint64_t now_ms) {
        struct outcome o = {.error = STORE_TIMEOUT};
        struct barrier *before = NULL, *next;

        while (s->first && s->first->end_ms <= now_ms) {
                s->counts.proposals_failed++;
                request_finish(s, s->first, &o);
        }
        for (struct barrier *b = s->barriers; b; b = next) {
                next = b->next;
                if (b->end_ms <= now_ms) {
                        s->counts.read_indexes_failed++;
                        unlink_barrier(s, b, before);
                        barrier_finish(s, b, STORE_TIMEOUT);
                        continue;
                }
                /* The question or its answer got lost: ask again. */
                if (b->index == 0 && now_ms >= b->asked_ms + s->options->heartbeat_ms * 3) {
                        b->asked_ms = now_ms;
                        s->counts.read_indexes_slow++;
                        (void)raft_read_index(s->raft, b->context);
                }
                before = b;
        }
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

/* A change is made, whatever becomes of its answer: as etcd's time-out, which leaves that open. */
void server_send_answer(
                struct server *s, struct grpc_call *call, struct buf *head, struct kv_answer *a) {
        int r = answers_send(s->answers, call, head, a);

        if (r < 0)
                server_refuse(call, r == -ENOMEM ? STORE_NO_MEMORY : STORE_TIMEOUT);
}

void requests_done(struct server *s) {
        if (s->gathering)
                barrier_finish(s, s->gathering, STORE_STOPPED);
        s->gathering = NULL;
        while (s->barriers) {
                struct barrier *b = s->barriers;

                s->barriers = b->next;
                barrier_finish(s, b, STORE_STOPPED);
        }
        s->barriers_last = NULL;
}
