/* etcdserverpb.KV. */
#include "kstored/service/kv.h"

#include <sys/queue.h>

#include "kstored/server/quota.h"
#include "kstored/server/server.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "lib/timefmt.h"

enum {
        UNREAD_MAX = 256 * 1024, /* more waits for a client: it gets the rest in turn */
        AT_ONCE_US = 3000,       /* of the loop's time for reads that come together */
};

/* A physical compaction, which is answered when its rows are deleted. */
struct compact_wait {
        LIST_ENTRY(compact_wait) link;
        struct grpc_call *call;
        int64_t rev;
};

struct kv_service {
        uint64_t serving_since_us; /* the first read of this turn; 0: none yet */
        LIST_HEAD(, compact_wait) compact_waits;
};

/* Whether ranges wait for their turn: many requests that came together are not all served at once,
 * and no more is made for a client that does not read what it has. */
static bool is_lazy(struct server *s, const struct grpc_call *call) {
        struct kv_service *x = server_part(s, SERVER_PART_KV);
        uint64_t now_us = now_mono_us();

        if (x->serving_since_us == 0)
                x->serving_since_us = now_us;
        return now_us >= x->serving_since_us + AT_ONCE_US ||
               grpc_call_connection_queued(call) > UNREAD_MAX;
}

/* Reads with one of the two below and answers. */
static void serve(struct server *s, struct grpc_call *call, const Etcdserverpb__RangeRequest *range,
                const Etcdserverpb__TxnRequest *txn) {
        _cleanup_answer_ struct kv_answer a = {.lazy = is_lazy(s, call)};
        struct kv *kv = &s->state->kv;
        struct buf none = {0};
        enum store_error e;

        if (!range && !txn) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        server_header(s, &a.text, mvcc_rev(kv->mvcc));
        e = range ? kv_range(kv, range, &a) : kv_txn(kv, txn, &a);
        if (e)
                server_refuse(call, e);
        else if (answer_is_long(&a))
                server_send_answer(s, call, &none, &a);
        else
                grpc_call_reply(call, a.text.data, a.text.size);
}

static void serve_range(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        serve(s, call, UNPACK(s, range_request, data, n), NULL);
}

static void serve_txn(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        serve(s, call, NULL, UNPACK(s, txn_request, data, n));
}

void service_range(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__RangeRequest *r = UNPACK(s, range_request, data, n);
        enum store_error e = r ? kv_check_range(r) : STORE_BAD_MESSAGE;

        if (e)
                server_refuse(call, e);
        else if (r->serializable)
                serve_range(s, call, data, n);
        else
                server_read(s, call, data, n, serve_range);
}

/* Checks of every write before it is proposed. */
static enum store_error check_write(struct server *s, size_t n, size_t cost) {
        enum store_error e = cost > 0 ? server_check_space(s, cost) : STORE_OK;

        return e ? e : server_check_size(s, n);
}

void service_put(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__PutRequest *r = UNPACK(s, put_request, data, n);
        enum store_error e = r ? kv_check_put(r) : STORE_BAD_MESSAGE;

        if (!e)
                e = check_write(s, n, n);
        if (e)
                server_refuse(call, e);
        else
                server_propose(s, call, COMMAND_PUT, data, n, NULL);
}

void service_delete_range(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__DeleteRangeRequest *r = UNPACK(s, delete_range_request, data, n);
        enum store_error e = r ? kv_check_delete(r) : STORE_BAD_MESSAGE;

        if (!e)
                e = check_write(s, n, 0);
        if (e)
                server_refuse(call, e);
        else
                server_propose(s, call, COMMAND_DELETE_RANGE, data, n, NULL);
}

void service_txn(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__TxnRequest *r =
                        kv_txn_too_deep(data, n) ? NULL : UNPACK(s, txn_request, data, n);
        enum store_error e;

        if (!r && kv_txn_too_deep(data, n))
                e = STORE_TOO_MANY_OPS;
        else
                e = r ? kv_check_txn(r, s->options->max_txn_ops) : STORE_BAD_MESSAGE;
        if (!e && !kv_txn_is_read_only(r))
                e = check_write(s, n, kv_txn_has_put(r) ? n : 0);
        if (e)
                server_refuse(call, e);
        else if (!kv_txn_is_read_only(r))
                server_propose(s, call, COMMAND_TXN, data, n, NULL);
        else if (kv_txn_is_serializable(r))
                serve_txn(s, call, data, n);
        else
                server_read(s, call, data, n, serve_txn);
}

static void on_compact_gone(struct grpc_call *call, void *userdata) {
        struct compact_wait *w = userdata;

        LIST_REMOVE(w, link);
        free(w);
}

/* Answers the compactions whose rows are deleted now; a new turn of the loop serves new reads. */
static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct kv_service *x = state;
        struct compact_wait *w;

        x->serving_since_us = 0;
        while ((w = LIST_FIRST(&x->compact_waits)) && !mvcc_compacting(s->state->kv.mvcc)) {
                LIST_REMOVE(w, link);
                grpc_call_on_gone(w->call, NULL, NULL);
                server_reply(s, w->call, w->rev, NULL);
                free(w);
        }
}

static void wait_for_deletion(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        struct kv_service *x = server_part(s, SERVER_PART_KV);
        struct compact_wait *w;

        if (o->error) {
                server_refuse(call, o->error);
                return;
        }
        w = calloc(1, sizeof(*w));
        if (!w) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        *w = (struct compact_wait){.call = call, .rev = o->rev};
        LIST_INSERT_HEAD(&x->compact_waits, w, link);
        grpc_call_on_gone(call, on_compact_gone, w);
}

void service_compact(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__CompactionRequest *r = UNPACK(s, compaction_request, data, n);

        if (!r)
                server_refuse(call, STORE_BAD_MESSAGE);
        else
                server_propose(s, call, COMMAND_COMPACT, data, n,
                                r->physical ? wait_for_deletion : NULL);
}

const struct server_part kv_part = {.name = "kv", .size = sizeof(struct kv_service), .turn = turn};
