/* etcd v3 over gRPC. Each unary call is a struct call that lives until its answer; the messages are
 * protobuf-c's. One watch covers every key, so that every revision of the store shows up in it and
 * "how far has the cache come" needs no progress requests (which etcd before 3.4.25 answered too
 * early, etcd issue 15220). */
#include "kapid/store/store.h"

#include "proto/rpc.pb-c.h"

#include "kapid/crypt/crypt.h"
#include "lib/grpc-client.h"

enum {
        CALL_TIMEOUT_US = 10 * 1000 * 1000,
        PING_US = 5500 * 1000, /* etcd ends connections that ask every 5 s or more often */
        TIMEOUTS_IN_A_ROW_MAX = 2,
        MESSAGE_SIZE_MAX = 1 << 30, /* a page of the largest objects */
};

enum call_kind { CALL_RANGE, CALL_TXN, CALL_LEASE, CALL_RENEW, CALL_COMPACT, CALL_STATUS };

struct call {
        struct store *store;
        struct call *next, *prev;
        enum call_kind kind;
        store_done done;
        void *userdata;
        ProtobufCMessage *answer;
};

struct store {
        struct grpc_channel *channel;
        struct crypt *crypt;
        struct call *calls;
        struct grpc_client_call *watch;
        struct store_watch_options watch_options;
        int watch_error;   /* reported by the store before it ended the stream */
        unsigned timeouts; /* calls that were not answered since one was */
        void (*on_state)(bool connected, void *userdata);
        void *userdata;
};

static const struct {
        const char *path;
        const ProtobufCMessageDescriptor *answer;
} rpcs[] = {
                [CALL_RANGE] = {"/etcdserverpb.KV/Range",
                                &etcdserverpb__range_response__descriptor},
                [CALL_TXN] = {"/etcdserverpb.KV/Txn", &etcdserverpb__txn_response__descriptor},
                [CALL_LEASE] = {"/etcdserverpb.Lease/LeaseGrant",
                                &etcdserverpb__lease_grant_response__descriptor},
                /* A stream of which one request and one answer are used. */
                [CALL_RENEW] = {"/etcdserverpb.Lease/LeaseKeepAlive",
                                &etcdserverpb__lease_keep_alive_response__descriptor},
                [CALL_COMPACT] = {"/etcdserverpb.KV/Compact",
                                &etcdserverpb__compaction_response__descriptor},
                [CALL_STATUS] = {"/etcdserverpb.Maintenance/Status",
                                &etcdserverpb__status_response__descriptor},
};

static void on_channel_state(struct grpc_channel *ch, bool connected, void *userdata) {
        struct store *s = userdata;

        if (s->on_state)
                s->on_state(connected, s->userdata);
}

int store_new(struct store **ret, sd_event *event, const struct store_options *o,
                struct problem *p) {
        _cleanup_(store_freep) struct store *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->on_state = o->on_state;
        s->userdata = o->userdata;
        s->crypt = o->crypt;
        r = grpc_channel_new(&s->channel, event,
                        &(struct grpc_channel_options){.endpoints = o->endpoints,
                                        .tls = o->tls,
                                        .message_size_max = MESSAGE_SIZE_MAX,
                                        .ping_us = PING_US,
                                        .on_state = on_channel_state,
                                        .userdata = s},
                        p);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

static struct call *call_free(struct call *c) {
        if (!c)
                return NULL;
        if (c->prev)
                c->prev->next = c->next;
        else if (c->store->calls == c)
                c->store->calls = c->next;
        if (c->next)
                c->next->prev = c->prev;
        if (c->answer)
                protobuf_c_message_free_unpacked(c->answer, NULL);
        return mfree(c);
}

struct store *store_free(struct store *s) {
        if (!s)
                return NULL;
        s->on_state = NULL;
        grpc_client_call_cancel(s->watch);
        grpc_channel_free(s->channel);
        while (s->calls)
                call_free(s->calls);
        return mfree(s);
}

bool store_is_connected(const struct store *s) {
        return grpc_channel_is_connected(s->channel);
}

/* etcd distinguishes some causes only by their text (etcd API reference, v3rpc/rpctypes). */
static int error_of(enum grpc_code code, const char *message) {
        switch (code) {
        case GRPC_OK:
                return 0;
        case GRPC_OUT_OF_RANGE:
                return strstr(message, "compacted") ? -ESTALE : -EIO;
        case GRPC_RESOURCE_EXHAUSTED:
                return strstr(message, "space exceeded") ? -ENOSPC : -EBUSY;
        case GRPC_INVALID_ARGUMENT:
                return strstr(message, "too large") ? -E2BIG : -EIO;
        case GRPC_UNAVAILABLE:
        case GRPC_DEADLINE_EXCEEDED:
        case GRPC_CANCELLED:
                return -ETIMEDOUT;
        default:
                return -EIO;
        }
}

/* A member that is cut off from the others answers, but not to the purpose: another may do. */
static void judge_member(struct store *s, enum grpc_code code, const char *message) {
        bool cut_off = code == GRPC_UNAVAILABLE && strstr(message, "no leader");

        if (code == GRPC_DEADLINE_EXCEEDED ||
                        (code == GRPC_UNAVAILABLE && strstr(message, "timed out")))
                s->timeouts++;
        else
                s->timeouts = 0;
        if (!cut_off && s->timeouts < TIMEOUTS_IN_A_ROW_MAX)
                return;
        s->timeouts = 0;
        grpc_channel_move_on(s->channel);
}

int store_problem(const struct store_result *res, struct problem *p) {
        int r;

        switch (res->error) {
        case -EHOSTUNREACH:
        case -EBUSY:
                r = problem_set(p, EHOSTUNREACH, 503, "ServiceUnavailable",
                                "the store is not reachable at the moment, please try again");
                p->retry_after_s = 1;
                return r;
        case -ETIMEDOUT:
                return problem_set(p, ETIMEDOUT, 504, "Timeout",
                                "the store did not answer in time, the request may or may not "
                                "have been carried out");
        case -ESTALE:
                return problem_set(p, ESTALE, 410, "Expired",
                                "The provided resource version is too old to display a consistent "
                                "list result. You can start a new list without it.");
        case -ENOSPC:
                return problem_set(p, ENOSPC, 500, "InternalError",
                                "the store is out of space: make room on its disk (df -h "
                                "/var/lib/keelson); if its NOSPACE alarm is raised, compact and "
                                "defragment it, then disarm the alarm");
        case -E2BIG:
                return problem_set(p, E2BIG, 413, "RequestEntityTooLarge",
                                "the object is larger than the store takes (1.5 MiB)");
        default:
                return problem_set(p, EIO, 500, "InternalError", "the store refused: %s",
                                res->message);
        }
}

static void on_message(struct grpc_client_call *gc, const void *data, size_t n, void *userdata) {
        struct call *c = userdata;

        if (!c->answer)
                c->answer = protobuf_c_message_unpack(rpcs[c->kind].answer, NULL, n, data);
}

/* One that was received: what is shown of it, and what of that is ours. */
struct received {
        struct store_kv kv;
        struct crypt_opened opened;
};

static void received_done(struct received *x) {
        free((char *)x->kv.key);
        crypt_opened_done(&x->opened);
}

/* protobuf-c ends bytes fields with no NUL: keys are copied with one. A value that cannot be
 * decrypted is not an error: others came with it. */
static int receive(struct crypt *crypt, struct received *ret, const Mvccpb__KeyValue *kv) {
        const char *value = kv->value.len ? (const char *)kv->value.data : "";
        struct received x = {.kv = {.key = strndup((const char *)kv->key.data, kv->key.len),
                                             .value = value,
                                             .size = kv->value.len,
                                             .revision = (uint64_t)kv->mod_revision,
                                             .create_revision = (uint64_t)kv->create_revision,
                                             .lease = kv->lease}};
        int r = x.kv.key ? crypt_open(crypt, x.kv.key, value, kv->value.len, &x.opened) : -ENOMEM;

        if (r < 0 && r != -EBADMSG) {
                received_done(&x);
                return r;
        }
        x.kv.with = x.opened.with;
        x.kv.stale = x.opened.stale;
        x.kv.unreadable = x.opened.why;
        if (r < 0 || x.opened.value) {
                x.kv.value = r < 0 ? "" : x.opened.value;
                x.kv.size = r < 0 ? 0 : x.opened.size;
        }
        *ret = x;
        return 0;
}

/* What callers get is beside what must be freed. */
struct kvs {
        struct store_kv *items;
        struct received *received;
        size_t count;
};

static void kvs_done(struct kvs *k) {
        for (size_t i = 0; i < k->count; i++)
                received_done(&k->received[i]);
        free(k->received);
        free(k->items);
}

static int kvs_add(struct store *s, struct kvs *k, Mvccpb__KeyValue *const *kvs, size_t n) {
        struct store_kv *items = n ? reallocarray(k->items, k->count + n, sizeof(*items)) : NULL;
        struct received *received;

        if (!n)
                return 0;
        if (!items)
                return -ENOMEM;
        k->items = items;
        received = reallocarray(k->received, k->count + n, sizeof(*received));
        if (!received)
                return -ENOMEM;
        k->received = received;
        for (size_t i = 0; i < n; i++) {
                int r = receive(s->crypt, &k->received[k->count], kvs[i]);

                if (r < 0)
                        return r;
                k->items[k->count] = k->received[k->count].kv;
                k->count++;
        }
        return 0;
}

static uint64_t header_revision(const Etcdserverpb__ResponseHeader *h) {
        return h ? (uint64_t)h->revision : 0;
}

static int read_answer(const struct call *c, struct store_result *res, struct kvs *kvs) {
        if (!c->answer)
                return -EIO;
        switch (c->kind) {
        case CALL_RANGE: {
                const Etcdserverpb__RangeResponse *a = (const void *)c->answer;

                res->revision = header_revision(a->header);
                res->more = a->more;
                res->total = (uint64_t)a->count;
                return kvs_add(c->store, kvs, a->kvs, a->n_kvs);
        }
        case CALL_TXN: {
                const Etcdserverpb__TxnResponse *a = (const void *)c->answer;

                res->revision = header_revision(a->header);
                res->succeeded = a->succeeded;
                for (size_t i = 0; i < a->n_responses; i++) {
                        const Etcdserverpb__ResponseOp *op = a->responses[i];
                        int r;

                        if (op->response_case != ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE)
                                continue;
                        r = kvs_add(c->store, kvs, op->response_range->kvs,
                                        op->response_range->n_kvs);
                        if (r < 0)
                                return r;
                }
                return 0;
        }
        case CALL_LEASE: {
                const Etcdserverpb__LeaseGrantResponse *a = (const void *)c->answer;

                res->revision = header_revision(a->header);
                res->lease = a->id;
                return a->id ? 0 : -EIO;
        }
        case CALL_RENEW: {
                const Etcdserverpb__LeaseKeepAliveResponse *a = (const void *)c->answer;

                res->revision = header_revision(a->header);
                res->ttl_s = a->ttl;
                return 0;
        }
        case CALL_STATUS: {
                const Etcdserverpb__StatusResponse *a = (const void *)c->answer;

                for (size_t i = 0; i < a->n_errors; i++)
                        res->disk_full |= strstr(a->errors[i], "the disk is full") != NULL;
                return 0;
        }
        case CALL_COMPACT:
                return 0;
        }
        assert_not_reached();
}

static void on_done(struct grpc_client_call *gc, enum grpc_code code, const char *message,
                void *userdata) {
        struct call *c = userdata;
        struct store_result res = {
                        .error = error_of(code, strempty(message)), .message = strempty(message)};
        struct kvs kvs = {0};

        judge_member(c->store, code, res.message);
        if (!res.error)
                res.error = read_answer(c, &res, &kvs);
        if (!res.error) {
                res.kvs = kvs.items;
                res.count = kvs.count;
        }
        c->done(&res, c->userdata);
        kvs_done(&kvs);
        call_free(c);
}

static int start(struct store *s, enum call_kind kind, const ProtobufCMessage *request,
                store_done done, void *userdata) {
        size_t n = protobuf_c_message_get_packed_size(request);
        _cleanup_bytes_ struct bytes *packed = bytes_alloc(n);
        struct call *c;
        int r;

        if (!store_is_connected(s))
                return -EHOSTUNREACH;
        if (!packed)
                return -ENOMEM;
        protobuf_c_message_pack(request, (uint8_t *)packed->data);
        c = calloc(1, sizeof(*c));
        if (!c)
                return -ENOMEM;
        *c = (struct call){.store = s, .kind = kind, .done = done, .userdata = userdata};
        c->next = s->calls;
        if (c->next)
                c->next->prev = c;
        s->calls = c;
        r = grpc_client_unary_bytes(s->channel,
                        &(struct grpc_client_call_options){.path = rpcs[kind].path,
                                        .timeout_us = CALL_TIMEOUT_US,
                                        .on_message = on_message,
                                        .on_done = on_done,
                                        .userdata = c},
                        packed, NULL);
        if (r < 0)
                call_free(c);
        return r;
}

static ProtobufCBinaryData binary(const char *s, size_t n) {
        return (ProtobufCBinaryData){.data = (uint8_t *)s, .len = n};
}

static ProtobufCBinaryData binary_str(const char *s) {
        return binary(s, strlen(s));
}

int store_range(struct store *s, const struct store_range *q, store_done done, void *userdata) {
        Etcdserverpb__RangeRequest m = ETCDSERVERPB__RANGE_REQUEST__INIT;

        m.key = binary_str(q->key);
        if (q->end)
                m.range_end = binary_str(q->end);
        m.revision = (int64_t)q->revision;
        m.limit = (int64_t)q->limit;
        return start(s, CALL_RANGE, &m.base, done, userdata);
}

int store_read_index(struct store *s, store_done done, void *userdata) {
        return store_range(s, &(struct store_range){.key = "/registry"}, done, userdata);
}

struct txn_guard {
        Etcdserverpb__Compare compare;
        Etcdserverpb__RequestOp read;
        Etcdserverpb__RangeRequest range;
};

struct txn_change {
        Etcdserverpb__RequestOp op;
        union {
                Etcdserverpb__PutRequest put;
                Etcdserverpb__DeleteRangeRequest deletion;
        };
        char *sealed; /* owned */
};

/* Most txns have one guard and one operation. */
struct txn_message {
        Etcdserverpb__TxnRequest txn;
        Etcdserverpb__Compare *compares[STORE_TXN_MAX];
        Etcdserverpb__RequestOp *ops[STORE_TXN_MAX], *reads[STORE_TXN_MAX];
        struct txn_guard *guards;   /* owned */
        struct txn_change *changes; /* owned; as many as there are operations */
        char prefix_end[1024];      /* one operation of a txn may be a prefix */
};

static void txn_add_guard(struct txn_message *m, const struct store_guard *guard) {
        size_t i = m->txn.n_compare++;
        struct txn_guard *g = &m->guards[i];

        etcdserverpb__compare__init(&g->compare);
        g->compare.key = binary_str(guard->key);
        g->compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
        g->compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        g->compare.mod_revision = (int64_t)guard->revision;
        m->compares[i] = &g->compare;

        etcdserverpb__range_request__init(&g->range);
        g->range.key = binary_str(guard->key);
        etcdserverpb__request_op__init(&g->read);
        g->read.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        g->read.request_range = &g->range;
        m->reads[i] = &g->read;
        m->txn.n_failure = m->txn.n_compare;
}

static int txn_add_put(struct store *s, struct txn_change *c, const struct store_op *op) {
        const char *value = op->value;
        size_t size = op->size;
        int r = crypt_seal(s->crypt, op->key, op->value, op->size, &c->sealed, &size);

        if (r < 0)
                return r;
        if (r > 0)
                value = c->sealed;
        etcdserverpb__put_request__init(&c->put);
        c->put.key = binary_str(op->key);
        c->put.value = binary(value, size);
        c->put.lease = op->lease;
        c->op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
        c->op.request_put = &c->put;
        return 0;
}

static void txn_add_delete(struct txn_message *m, struct txn_change *c, const struct store_op *op) {
        etcdserverpb__delete_range_request__init(&c->deletion);
        c->deletion.key = binary_str(op->key);
        if (op->prefix) {
                size_t n = strlen(op->key);

                assert(n > 0 && n < sizeof(m->prefix_end));
                memcpy(m->prefix_end, op->key, n);
                m->prefix_end[n - 1]++;
                c->deletion.range_end = binary(m->prefix_end, n);
        }
        c->op.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        c->op.request_delete_range = &c->deletion;
}

static int txn_add_op(struct store *s, struct txn_message *m, const struct store_op *op) {
        size_t i = m->txn.n_success++;
        struct txn_change *c = &m->changes[i];

        etcdserverpb__request_op__init(&c->op);
        m->ops[i] = &c->op;
        if (op->value)
                return txn_add_put(s, c, op);
        txn_add_delete(m, c, op);
        return 0;
}

static void txn_message_done(struct txn_message *m) {
        for (size_t i = 0; i < m->txn.n_success; i++)
                free(m->changes[i].sealed);
        free(m->changes);
        free(m->guards);
}

int store_txn(struct store *s, const struct store_txn *t, store_done done, void *userdata) {
        _cleanup_(txn_message_done) struct txn_message m;
        int r;

        etcdserverpb__txn_request__init(&m.txn);
        m.guards = NULL;
        m.changes = NULL;
        if (t->guard_count > STORE_TXN_MAX || t->op_count > STORE_TXN_MAX)
                return -E2BIG;
        m.guards = calloc(MAX(t->guard_count, (size_t)1), sizeof(*m.guards));
        m.changes = calloc(MAX(t->op_count, (size_t)1), sizeof(*m.changes));
        if (!m.guards || !m.changes)
                return -ENOMEM;
        for (size_t i = 0; i < t->guard_count; i++)
                txn_add_guard(&m, &t->guards[i]);
        for (size_t i = 0; i < t->op_count; i++) {
                r = txn_add_op(s, &m, &t->ops[i]);
                if (r < 0)
                        return r;
        }
        m.txn.compare = m.compares;
        m.txn.success = m.ops;
        m.txn.failure = m.reads;
        return start(s, CALL_TXN, &m.txn.base, done, userdata);
}

int store_lease_grant(struct store *s, uint64_t ttl_s, store_done done, void *userdata) {
        Etcdserverpb__LeaseGrantRequest m = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;

        m.ttl = (int64_t)ttl_s;
        return start(s, CALL_LEASE, &m.base, done, userdata);
}

int store_lease_renew(struct store *s, int64_t lease, store_done done, void *userdata) {
        Etcdserverpb__LeaseKeepAliveRequest m = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;

        m.id = lease;
        return start(s, CALL_RENEW, &m.base, done, userdata);
}

int store_status(struct store *s, store_done done, void *userdata) {
        Etcdserverpb__StatusRequest m = ETCDSERVERPB__STATUS_REQUEST__INIT;

        return start(s, CALL_STATUS, &m.base, done, userdata);
}

int store_compact(struct store *s, uint64_t revision, store_done done, void *userdata) {
        Etcdserverpb__CompactionRequest m = ETCDSERVERPB__COMPACTION_REQUEST__INIT;

        m.revision = (int64_t)revision;
        return start(s, CALL_COMPACT, &m.base, done, userdata);
}

static int receive_event(struct store *s, struct received *ret, struct store_event *ret_event,
                const Mvccpb__Event *e) {
        bool deleted = e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE; /* then there is no value */
        int r = e->kv ? receive(deleted ? NULL : s->crypt, ret, e->kv) : -EIO;

        if (r < 0)
                return r;
        ret_event->deleted = deleted;
        ret_event->kv = ret->kv;
        return 0;
}

static void deliver(struct store *s, Mvccpb__Event *const *events, size_t n) {
        _cleanup_free_ struct store_event *list = calloc(n, sizeof(*list));
        _cleanup_free_ struct received *received = calloc(n, sizeof(*received));
        size_t done = 0;
        bool failed = !list || !received;

        for (; !failed && done < n; done++) {
                failed = receive_event(s, &received[done], &list[done], events[done]) < 0;
                if (failed)
                        break;
        }
        /* Half a message would be a gap: without memory the watch is made again from its start. */
        if (failed)
                s->watch_error = -ENOMEM;
        else
                s->watch_options.on_events(list, n, s->watch_options.userdata);
        for (size_t i = 0; i < done; i++)
                received_done(&received[i]);
}

static void watch_end(struct store *s, int error, const char *message) {
        struct store_watch_options o = s->watch_options;

        s->watch = grpc_client_call_cancel(s->watch);
        o.on_lost(error, message, o.userdata);
}

static void on_watch_message(
                struct grpc_client_call *gc, const void *data, size_t n, void *userdata) {
        struct store *s = userdata;
        Etcdserverpb__WatchResponse *m = etcdserverpb__watch_response__unpack(NULL, n, data);

        if (gc != s->watch) {
                /* of a watch that was replaced */
        } else if (!m) {
                s->watch_error = -EIO;
        } else if (m->canceled || m->compact_revision) {
                s->watch_error = m->compact_revision || strstr(strempty(m->cancel_reason),
                                                                        "compacted")
                                                 ? -ESTALE
                                                 : -EIO;
        } else {
                if (m->created)
                        s->watch_options.on_watching(s->watch_options.userdata);
                if (m->n_events > 0)
                        deliver(s, m->events, m->n_events);
        }
        if (m)
                etcdserverpb__watch_response__free_unpacked(m, NULL);
        if (gc == s->watch && s->watch_error)
                watch_end(s, s->watch_error, "the store ended the watch");
}

static void on_watch_done(struct grpc_client_call *gc, enum grpc_code code, const char *message,
                void *userdata) {
        struct store *s = userdata;

        if (gc != s->watch)
                return;
        s->watch = NULL;
        judge_member(s, code, strempty(message));
        s->watch_options.on_lost(code == GRPC_OK ? -ECONNRESET : error_of(code, strempty(message)),
                        strempty(message), s->watch_options.userdata);
}

int store_watch(struct store *s, const struct store_watch_options *o) {
        /* A member that has lost its leader ends the stream instead of falling silent. */
        static const struct grpc_metadata require_leader[] = {{"hasleader", "true"}, {NULL, NULL}};
        Etcdserverpb__WatchRequest m = ETCDSERVERPB__WATCH_REQUEST__INIT;
        Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
        _cleanup_free_ uint8_t *data = NULL;
        size_t n;
        int r;

        if (!store_is_connected(s))
                return -EHOSTUNREACH;
        s->watch = grpc_client_call_cancel(s->watch);
        s->watch_options = *o;
        s->watch_error = 0;
        /* Every key: from "\0" on, "\0" as the end stands for no end. */
        create.key = binary("\0", 1);
        create.range_end = binary("\0", 1);
        create.start_revision = (int64_t)o->start_revision;
        m.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        m.create_request = &create;
        n = etcdserverpb__watch_request__get_packed_size(&m);
        data = malloc(n);
        if (!data)
                return -ENOMEM;
        etcdserverpb__watch_request__pack(&m, data);
        r = grpc_client_call_start(s->channel,
                        &(struct grpc_client_call_options){.path = "/etcdserverpb.Watch/Watch",
                                        .timeout_us = UINT64_MAX,
                                        .metadata = require_leader,
                                        .on_message = on_watch_message,
                                        .on_done = on_watch_done,
                                        .userdata = s},
                        &s->watch);
        if (r < 0)
                return r;
        r = grpc_client_call_send(s->watch, data, n);
        if (r < 0)
                s->watch = grpc_client_call_cancel(s->watch);
        return r;
}
