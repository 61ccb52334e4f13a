/* The hash that members compare: Maintenance.Hash and HashKV, and the same for the program itself.
 * A hash waits until all rows that it covers are in the table and no compaction deletes from it;
 * then the keeper's thread reads the table while everything else continues. */
#include "kstored/service/hash.h"

#include <stdatomic.h>
#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/reply.h"

enum { HASHES_MAX = 64, HASH_LIMIT_MS = 60000 };

enum phase {
        PHASE_DROP,  /* a compaction still deletes rows */
        PHASE_FLUSH, /* rows are on their way to the table */
        PHASE_READ,  /* the keeper reads */
};

struct hashing {
        LIST_ENTRY(hashing) link;
        struct server *server;
        enum phase phase;
        int64_t rev, compact_rev;
        uint64_t ticket, end_ms;
        uint32_t hash;
        hash_done done;
        void *userdata;
};

struct hashes {
        LIST_HEAD(, hashing) all;
        size_t count;
        _Atomic bool stop; /* the keeper gives up */
};

static struct hashes *hashes_of(const struct server *s) {
        return server_part(s, SERVER_PART_HASH);
}

static void finish(struct hashing *h, int result) {
        struct hashes *x = hashes_of(h->server);

        assert(x->count > 0);
        LIST_REMOVE(h, link);
        x->count--;
        if (h->done)
                h->done(h->server, result, h->rev, h->compact_rev, h->hash, h->userdata);
        free(h);
}

static int run_hash(void *userdata) {
        struct hashing *h = userdata;

        return disk_hash(h->server->disk, h->rev, h->compact_rev, &hashes_of(h->server)->stop,
                        &h->hash);
}

static void on_hashed(int result, void *userdata) {
        struct hashing *h = userdata;

        if (result == -ESTALE)
                h->phase = PHASE_DROP; /* as of the newer compaction */
        else {
                if (result == -EBADMSG)
                        server_damaged(h->server, "The database is damaged: a row is not what was "
                                                  "written");
                finish(h, result);
        }
}

/* Towards reading; a compaction meanwhile starts it again. */
static int step(struct hashing *h) {
        struct server *s = h->server;
        const struct mvcc *m = s->state->kv.mvcc;
        int r;

        if (h->phase == PHASE_FLUSH && h->compact_rev != mvcc_compact_rev(m))
                h->phase = PHASE_DROP;
        if (h->phase == PHASE_DROP && !mvcc_compacting(m)) {
                h->compact_rev = mvcc_compact_rev(m);
                if (h->rev < h->compact_rev)
                        return -ERANGE;
                h->ticket = replica_flush_ask(s->replica);
                h->phase = PHASE_FLUSH;
        }
        if (h->phase != PHASE_FLUSH || !replica_flush_done(s->replica, h->ticket))
                return 0;
        r = worker_submit(s->keeper, run_hash, on_hashed, h);
        if (r >= 0)
                h->phase = PHASE_READ;
        return r;
}

static void prepare(struct server *s, void *state, uint64_t now_ms) {
        struct hashes *x = state;
        struct hashing *next;

        for (struct hashing *h = LIST_FIRST(&x->all); h; h = next) {
                int r = h->phase == PHASE_READ ? 0 : now_ms >= h->end_ms ? -ETIMEDOUT : step(h);

                next = LIST_NEXT(h, link);
                if (r < 0)
                        finish(h, r);
        }
}

static void stop(struct server *s, void *state) {
        struct hashes *x = state;

        atomic_store(&x->stop, true);
}

static void end(struct server *s, void *state) {
        struct hashes *x = state;

        while (!LIST_EMPTY(&x->all))
                finish(LIST_FIRST(&x->all), -ECANCELED);
}

int server_hash(struct server *s, int64_t rev, hash_done done, void *userdata) {
        struct hashes *x = hashes_of(s);
        struct hashing *h;

        if (x->count >= HASHES_MAX || s->stopping)
                return -ENOBUFS;
        h = calloc(1, sizeof(*h));
        if (!h)
                return -ENOMEM;
        *h = (struct hashing){.server = s,
                        .rev = rev,
                        .end_ms = server_now_ms() + HASH_LIMIT_MS,
                        .done = done,
                        .userdata = userdata};
        LIST_INSERT_HEAD(&x->all, h, link);
        x->count++;
        return 0;
}

/* ---- for clients ---- */

struct hash_call {
        struct grpc_call *call; /* NULL: gone */
        bool kv;
};

static void on_gone(struct grpc_call *call, void *userdata) {
        struct hash_call *c = userdata;

        c->call = NULL;
}

static enum store_error hash_error(int result) {
        switch (result) {
        case -ERANGE:
                return STORE_COMPACTED;
        case -ECANCELED:
                return STORE_STOPPED;
        case -ETIMEDOUT:
                return STORE_TIMEOUT;
        case -ENOBUFS:
                return STORE_TOO_MANY_REQUESTS;
        default:
                return store_error_from_errno(result);
        }
}

static void reply(struct server *s, int result, int64_t rev, int64_t compact_rev, uint32_t hash,
                void *userdata) {
        _cleanup_free_ struct hash_call *c = userdata;
        _cleanup_buf_ struct buf b = {0};

        if (!c->call)
                return;
        grpc_call_on_gone(c->call, NULL, NULL);
        if (result < 0) {
                server_refuse(c->call, hash_error(result));
                return;
        }
        wire_uint(&b, 2, hash);
        if (c->kv)
                wire_uint(&b, 3, compact_rev > 0 ? (uint64_t)compact_rev : (uint64_t)-1);
        server_reply(s, c->call, mvcc_rev(s->state->kv.mvcc), &b);
}

static void serve(struct server *s, struct grpc_call *call, int64_t rev, bool kv) {
        struct hash_call *c = calloc(1, sizeof(*c));
        int r;

        if (!c) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        *c = (struct hash_call){.call = call, .kv = kv};
        r = server_hash(s, rev, reply, c);
        if (r < 0) {
                server_refuse(call, hash_error(r));
                free(c);
                return;
        }
        grpc_call_on_gone(call, on_gone, c);
}

void service_hash(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;

        serve(s, call, mvcc_rev(s->state->kv.mvcc), false);
}

void service_hash_kv(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__HashKVRequest *request = UNPACK(s, hash_kvrequest, data, n);
        int64_t now = mvcc_rev(s->state->kv.mvcc);

        if (!request)
                server_refuse(call, STORE_BAD_MESSAGE);
        else if (request->revision > now)
                server_refuse(call, STORE_FUTURE_REV);
        else if (request->revision > 0 && request->revision < mvcc_compact_rev(s->state->kv.mvcc))
                server_refuse(call, STORE_COMPACTED);
        else
                serve(s, call, request->revision > 0 ? request->revision : now, true);
}

const struct server_part hash_part = {.name = "hash",
                .size = sizeof(struct hashes),
                .prepare = prepare,
                .stop = stop,
                .end = end};
