/* Clients that read and write registers and lists, each one operation at a time, at any member.
 * Their answers are judged at the end (linear.h). */
#include "proto/rpc.pb-c.h"
#include "tests/sim/sim.h"

enum { REGISTERS = 3, LISTS = 2, TEXT_MAX = 300, QUIET_US = 500 * MS };

struct client {
        unsigned number;
        uint64_t serial; /* of the operation at hand */
        bool busy;
        size_t op; /* in the history */
        enum linear_kind kind;
        char key[16];
        char *argument;
        char *list; /* what was read of a list, to be appended to; NULL: nothing */
        bool append;
        struct node *node;
};

struct request {
        enum command_kind kind;
        bool read;
        uint64_t tag; /* client and serial */
        struct buf bytes;
};

/* The answer to a client. */
struct reply {
        enum linear_outcome outcome;
        unsigned flags;
        char *result;
        int64_t rev; /* of the change it made; 0: none */
};

static uint64_t tag_of(const struct client *c) {
        return (uint64_t)c->number << 48 | c->serial;
}

static struct client *client_of(struct world *w, uint64_t tag) {
        struct client *c = &w->clients[tag >> 48];

        return c->busy && tag_of(c) == tag ? c : NULL;
}

static void request_drop(void *data) {
        struct request *q = data;

        buf_done(&q->bytes);
        free(q);
}

static void reply_drop(void *data) {
        struct reply *x = data;

        free(x->result);
        free(x);
}

struct node *some_node(struct world *w) {
        unsigned from = (unsigned)below(w, w->node_count);

        for (unsigned i = 0; i < w->node_count; i++) {
                struct node *n = &w->nodes[(from + i) % w->node_count];

                if (n->phase == NODE_UP)
                        return n;
        }
        return NULL;
}

static void next(struct world *w, struct node *none, void *data, uint64_t number);

static void remember(struct world *w, const struct client *c, int64_t rev) {
        struct answered *a;

        if (w->answer_count == w->answers_allocated) {
                w->answers_allocated = w->answers_allocated * 2 + 256;
                w->answers = reallocarray(w->answers, w->answers_allocated, sizeof(*a));
                assert(w->answers);
        }
        a = &w->answers[w->answer_count++];
        *a = (struct answered){.rev = rev,
                        .key = strdup(c->key),
                        .value = c->kind == LINEAR_DELETE ? NULL : strdup(c->argument)};
}

static void finish(struct world *w, struct client *c) {
        c->busy = false;
        c->argument = mfree(c->argument);
        after(w, between(w, 0, w->think_us), NULL, next, c, NULL, 0);
}

static void on_reply(struct world *w, struct node *none, void *data, uint64_t tag) {
        struct reply *x = data;
        struct client *c = client_of(w, tag);

        if (c) {
                trace(w, "client %u: operation %u on %s of %s: %s, revision %lld, saw %s",
                                c->number, (unsigned)c->kind, c->key,
                                c->argument ? c->argument : "-",
                                x->outcome == LINEAR_KNOWN ? "done" : "refused", (long long)x->rev,
                                x->result ? x->result : "nothing");
                (void)linear_end(&w->history, c->op, x->outcome, x->flags, x->result,
                                w->now_us * 1000);
                if (x->outcome == LINEAR_KNOWN && x->rev > 0)
                        remember(w, c, x->rev);
                if (x->outcome == LINEAR_KNOWN && c->kind == LINEAR_READ && c->key[0] == 'l') {
                        free(c->list);
                        c->list = x->result ? strdup(x->result) : NULL;
                        c->append = true;
                }
                finish(w, c);
        }
        reply_drop(x);
}

static void send_reply(struct world *w, uint64_t tag, struct reply x) {
        struct reply *copy = malloc(sizeof(*copy));

        assert(copy);
        *copy = x;
        after(w, delay_us(w, 50, 2 * MS), NULL, on_reply, copy, reply_drop, tag);
}

static char *text_of(const ProtobufCBinaryData *b) {
        char *s = strndup((const char *)b->data, b->len);

        assert(s);
        return s;
}

static void on_timeout(struct world *w, struct node *none, void *data, uint64_t tag) {
        struct client *c = client_of(w, tag);

        if (!c)
                return;
        trace(w, "client %u hears nothing of %s", c->number, c->key);
        finish(w, c);
}

/* ---- writes */

static void take_txn(const Etcdserverpb__TxnResponse *t, struct reply *x, int64_t rev) {
        const Etcdserverpb__ResponseOp *op = t->n_responses == 1 ? t->responses[0] : NULL;

        assert(op);
        if (t->succeeded) {
                x->flags = LINEAR_SWAPPED;
                x->rev = rev;
                return;
        }
        x->flags = LINEAR_SAW;
        if (op->response_range->n_kvs > 0)
                x->result = text_of(&op->response_range->kvs[0]->value);
}

static void on_outcome(struct world *w, struct node *n, void *data, const struct outcome *o) {
        uint64_t tag = (uintptr_t)data;
        struct client *c = client_of(w, tag);
        struct reply x = {.outcome = o->error ? LINEAR_FAILED : LINEAR_KNOWN};
        _cleanup_buf_ struct buf b = {0};
        const uint8_t *bytes;
        size_t size;

        if (!c || o->error) {
                if (c)
                        send_reply(w, tag, x);
                return;
        }
        assert(answer_whole(o->answer, n->replica->state->kv.mvcc, &b) == 0);
        bytes = (const uint8_t *)b.data;
        size = b.size;
        x.flags = LINEAR_SAW;
        if (c->kind == LINEAR_WRITE) {
                Etcdserverpb__PutResponse *p =
                                etcdserverpb__put_response__unpack(NULL, size, bytes);

                assert(p);
                if (p->prev_kv)
                        x.result = text_of(&p->prev_kv->value);
                x.rev = o->rev;
                etcdserverpb__put_response__free_unpacked(p, NULL);
        } else if (c->kind == LINEAR_DELETE) {
                Etcdserverpb__DeleteRangeResponse *p =
                                etcdserverpb__delete_range_response__unpack(NULL, size, bytes);

                assert(p);
                if (p->n_prev_kvs > 0)
                        x.result = text_of(&p->prev_kvs[0]->value);
                x.rev = p->deleted ? o->rev : 0;
                etcdserverpb__delete_range_response__free_unpacked(p, NULL);
        } else {
                Etcdserverpb__TxnResponse *p =
                                etcdserverpb__txn_response__unpack(NULL, size, bytes);

                assert(p);
                take_txn(p, &x, o->rev);
                etcdserverpb__txn_response__free_unpacked(p, NULL);
        }
        send_reply(w, tag, x);
}

/* ---- reads */

/* Of the key as it was once; judged by the story. */
static void read_old(struct world *w, struct node *n, struct client *c) {
        struct mvcc *m = n->replica->state->kv.mvcc;
        int64_t least = MAX(mvcc_compact_rev(m), (int64_t)1), rev = mvcc_rev(m);
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__RangeResponse *a;
        _cleanup_answer_ struct kv_answer answer = {0};
        _cleanup_buf_ struct buf b = {0};
        enum store_error e;

        rev = (int64_t)between(w, (uint64_t)least, (uint64_t)rev);
        r.key = (ProtobufCBinaryData){.data = (uint8_t *)c->key, .len = strlen(c->key)};
        r.revision = rev;
        e = kv_range(&n->replica->state->kv, &r, &answer);
        if (e) {
                fail(w, "a read at revision %lld of %lld (compacted: %lld): %s", (long long)rev,
                                (long long)mvcc_rev(m), (long long)mvcc_compact_rev(m),
                                store_error_text(e));
                return;
        }
        assert(answer_whole(&answer, m, &b) == 0);
        a = etcdserverpb__range_response__unpack(NULL, b.size, (const uint8_t *)b.data);
        assert(a);
        if (w->old_read_count == w->old_reads_allocated) {
                w->old_reads_allocated = w->old_reads_allocated * 2 + 64;
                w->old_reads = reallocarray(
                                w->old_reads, w->old_reads_allocated, sizeof(w->old_reads[0]));
                assert(w->old_reads);
        }
        w->old_reads[w->old_read_count].key = strdup(c->key);
        w->old_reads[w->old_read_count].value = a->n_kvs > 0 ? text_of(&a->kvs[0]->value) : NULL;
        w->old_reads[w->old_read_count++].rev = rev;
        etcdserverpb__range_response__free_unpacked(a, NULL);
}

static void on_ready(struct world *w, struct node *n, void *data, uint64_t tag) {
        struct client *c = client_of(w, tag);
        struct reply x = {.outcome = LINEAR_KNOWN, .flags = LINEAR_SAW};
        Etcdserverpb__RangeRequest r = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__RangeResponse *a;
        _cleanup_answer_ struct kv_answer answer = {0};
        _cleanup_buf_ struct buf b = {0};

        if (!c)
                return;
        if (one_in(w, 3))
                read_old(w, n, c);
        r.key = (ProtobufCBinaryData){.data = (uint8_t *)c->key, .len = strlen(c->key)};
        assert(kv_range(&n->replica->state->kv, &r, &answer) == STORE_OK);
        assert(answer_whole(&answer, n->replica->state->kv.mvcc, &b) == 0);
        a = etcdserverpb__range_response__unpack(NULL, b.size, (const uint8_t *)b.data);
        assert(a);
        if (a->n_kvs > 0)
                x.result = text_of(&a->kvs[0]->value);
        etcdserverpb__range_response__free_unpacked(a, NULL);
        send_reply(w, tag, x);
}

/* ---- requests */

static void arrive(struct world *w, struct node *n, void *data, uint64_t number) {
        struct request *q = data;
        struct raft_status status;
        int r = 0;

        raft_get_status(n->replica->raft, &status);
        if (status.learner)
                r = -EPERM;
        else if (q->read)
                node_read(n, on_ready, NULL, q->tag);
        else
                r = node_propose(n, q->kind, q->bytes.data, q->bytes.size,
                                q->kind == COMMAND_COMPACT ? NULL : on_outcome,
                                (void *)(uintptr_t)q->tag);
        if (r < 0 && q->kind != COMMAND_COMPACT)
                send_reply(w, q->tag, (struct reply){.outcome = LINEAR_FAILED});
        request_drop(q);
        node_turn(w, n);
}

static void encode_put(struct buf *b, const struct client *c) {
        wire_string(b, 1, c->key);
        wire_string(b, 2, c->argument);
        wire_bool(b, 4, true);
}

static void encode_cas(struct buf *b, struct client *c, const char *expected) {
        Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT, *compares[] = {&compare};
        Etcdserverpb__RequestOp yes = ETCDSERVERPB__REQUEST_OP__INIT, *success[] = {&yes};
        Etcdserverpb__RequestOp no = ETCDSERVERPB__REQUEST_OP__INIT, *failure[] = {&no};
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
        Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
        ProtobufCBinaryData key = {.data = (uint8_t *)c->key, .len = strlen(c->key)};
        _cleanup_free_ uint8_t *bytes = NULL;
        size_t n;

        compare.key = put.key = range.key = key;
        if (expected) {
                compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__VALUE;
                compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
                compare.value = (ProtobufCBinaryData){
                                .data = (uint8_t *)expected, .len = strlen(expected)};
        } else {
                compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE;
                compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        }
        put.value = (ProtobufCBinaryData){
                        .data = (uint8_t *)c->argument, .len = strlen(c->argument)};
        yes.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        yes.request_put = &put;
        no.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        no.request_range = &range;
        txn.n_compare = txn.n_success = txn.n_failure = 1;
        txn.compare = compares;
        txn.success = success;
        txn.failure = failure;
        n = etcdserverpb__txn_request__get_packed_size(&txn);
        bytes = malloc(n);
        assert(bytes);
        etcdserverpb__txn_request__pack(&txn, bytes);
        (void)buf_append(b, bytes, n);
}

static char *new_value(struct world *w, const char *before) {
        char *s;

        if (before && strlen(before) < TEXT_MAX)
                s = strformat("%s %llu", before, (unsigned long long)++w->next_value);
        else
                s = strformat("v%llu", (unsigned long long)++w->next_value);
        assert(s);
        return s;
}

static void compact(struct world *w) {
        struct request *q = calloc(1, sizeof(*q));
        struct node *n = some_node(w);
        int64_t rev = w->story.rev - (int64_t)below(w, 30);

        assert(q);
        q->kind = COMMAND_COMPACT;
        wire_uint(&q->bytes, 1, (uint64_t)MAX(rev, (int64_t)1));
        if (n)
                after(w, delay_us(w, 50, 2 * MS), n, arrive, q, request_drop, 0);
        else
                request_drop(q);
}

static void choose(struct world *w, struct client *c, const char **expected) {
        unsigned dice = (unsigned)below(w, 100);

        *expected = NULL;
        if (c->append) { /* the list that was just read gets one more */
                c->kind = LINEAR_CAS;
                *expected = c->list;
                c->argument = new_value(w, c->list);
                return;
        }
        if (dice < 30)
                snprintf(c->key, sizeof(c->key), "l%u", (unsigned)below(w, LISTS));
        else
                snprintf(c->key, sizeof(c->key), "r%u", (unsigned)below(w, REGISTERS));
        if (dice < 65) {
                c->kind = LINEAR_READ;
        } else if (dice < 95) {
                c->kind = LINEAR_WRITE;
                c->argument = new_value(w, NULL);
        } else
                c->kind = LINEAR_DELETE;
}

static void next(struct world *w, struct node *none, void *data, uint64_t number) {
        struct client *c = data;
        struct request *q;
        const char *expected;
        ssize_t op;

        if (w->healing && w->now_us > w->heal_at_us + QUIET_US)
                return;
        if (c->number == 0 && one_in(w, 12))
                compact(w);
        if (!c->node || c->node->phase != NODE_UP || one_in(w, 6))
                c->node = some_node(w);
        if (!c->node) {
                after(w, 50 * MS, NULL, next, c, NULL, 0);
                return;
        }
        choose(w, c, &expected);
        q = calloc(1, sizeof(*q));
        assert(q);
        op = linear_begin(&w->history, c->number, c->kind, c->key, c->argument, expected,
                        w->now_us * 1000);
        assert(op >= 0);
        c->op = (size_t)op;
        c->serial++;
        c->busy = true;
        q->tag = tag_of(c);
        q->read = c->kind == LINEAR_READ;
        if (c->kind == LINEAR_WRITE) {
                q->kind = COMMAND_PUT;
                encode_put(&q->bytes, c);
        } else if (c->kind == LINEAR_DELETE) {
                q->kind = COMMAND_DELETE_RANGE;
                wire_string(&q->bytes, 1, c->key);
                wire_bool(&q->bytes, 3, true);
        } else if (c->kind == LINEAR_CAS) {
                q->kind = COMMAND_TXN;
                encode_cas(&q->bytes, c, expected);
        }
        if (q->read)
                w->count.reads++;
        else
                w->count.writes++;
        c->append = false;
        trace(w, "client %u asks member %u: operation %u on %s of %s", c->number, c->node->number,
                        (unsigned)c->kind, c->key, c->argument ? c->argument : "-");
        after(w, delay_us(w, 50, 2 * MS), c->node, arrive, q, request_drop, 0);
        after(w, between(w, 1 * SECOND, 2 * SECOND), NULL, on_timeout, NULL, NULL, q->tag);
}

bool clients_busy(const struct world *w) {
        for (unsigned i = 0; i < CLIENTS; i++)
                if (w->clients[i].busy)
                        return true;
        return w->now_us <= w->heal_at_us + QUIET_US + w->think_us;
}

void clients_start(struct world *w) {
        w->clients = calloc(CLIENTS, sizeof(w->clients[0]));
        assert(w->clients);
        for (unsigned i = 0; i < CLIENTS; i++) {
                w->clients[i].number = i;
                after(w, between(w, 100 * MS, SECOND), NULL, next, &w->clients[i], NULL, 0);
        }
}

void clients_done(struct world *w) {
        for (unsigned i = 0; w->clients && i < CLIENTS; i++) {
                free(w->clients[i].argument);
                free(w->clients[i].list);
        }
        free(w->clients);
}
