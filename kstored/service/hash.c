/* The hash that members compare: Maintenance.Hash and HashKV, and the same for the program itself.
 * A hash waits until what it is to cover is in the table and nothing more is to be dropped there;
 * then the keeper's thread reads the table while everything else goes on. */
#include "kstored/server/server.h"

#define UNPACK(s, name, data, n) etcdserverpb__##name##__unpack(&(s)->arena.allocator, (n), (data))

enum { HASHES_MAX = 64, HASH_LIMIT_MS = 60000 };

enum phase {
        PHASE_DROP,  /* a compaction still drops rows */
        PHASE_FLUSH, /* rows are on their way to the table */
        PHASE_READ,  /* the keeper reads */
};

struct hashing {
        struct hashing *next;
        struct server *server;
        enum phase phase;
        int64_t rev, compact_rev;
        uint64_t ticket, end_ms;
        uint32_t hash;
        hash_done done;
        void *userdata;
};

static void finish(struct hashing *h, int result) {
        struct hashing **at = &h->server->hashings;

        while (*at != h)
                at = &(*at)->next;
        *at = h->next;
        if (h->done)
                h->done(h->server, result, h->rev, h->compact_rev, h->hash, h->userdata);
        free(h);
}

static int run_hash(void *userdata) {
        struct hashing *h = userdata;

        return disk_hash(h->server->disk, h->rev, h->compact_rev, &h->server->hashing_stop,
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

/* On towards reading; what changes meanwhile begins it again. */
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

void hash_turn(struct server *s, uint64_t now_ms) {
        struct hashing *next;

        for (struct hashing *h = s->hashings; h; h = next) {
                int r = h->phase == PHASE_READ ? 0 : now_ms >= h->end_ms ? -ETIMEDOUT : step(h);

                next = h->next;
                if (r < 0)
                        finish(h, r);
        }
}

void hashes_end(struct server *s) {
        atomic_store(&s->hashing_stop, true);
}

void hashes_done(struct server *s) {
        while (s->hashings)
                finish(s->hashings, -ECANCELED);
}

int server_hash(struct server *s, int64_t rev, hash_done done, void *userdata) {
        struct hashing *h;
        size_t n = 0;

        for (h = s->hashings; h; h = h->next)
                n++;
        h = n < HASHES_MAX && !s->stopping ? calloc(1, sizeof(*h)) : NULL;
        if (!h)
                return n < HASHES_MAX && !s->stopping ? -ENOMEM : -ENOBUFS;
        *h = (struct hashing){.next = s->hashings,
                        .server = s,
                        .rev = rev,
                        .end_ms = server_now_ms() + HASH_LIMIT_MS,
                        .done = done,
                        .userdata = userdata};
        s->hashings = h;
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

static void reply(struct server *s, int result, int64_t rev, int64_t compact_rev, uint32_t hash,
                void *userdata) {
        struct hash_call *c = userdata;
        _cleanup_buf_ struct buf b = {0};

        if (c->call)
                grpc_call_on_gone(c->call, NULL, NULL);
        if (c->call && result < 0)
                server_refuse(c->call, result == -ERANGE      ? STORE_COMPACTED
                                       : result == -ECANCELED ? STORE_STOPPED
                                       : result == -ETIMEDOUT ? STORE_TIMEOUT
                                       : result == -ENOBUFS   ? STORE_TOO_MANY_REQUESTS
                                                              : store_error_from_errno(result));
        else if (c->call) {
                wire_uint(&b, 2, hash);
                if (c->kv)
                        wire_uint(&b, 3, compact_rev > 0 ? (uint64_t)compact_rev : (uint64_t)-1);
                server_reply(s, c->call, mvcc_rev(s->state->kv.mvcc), &b);
        }
        free(c);
}

static void serve(struct server *s, struct grpc_call *call, int64_t rev, bool kv) {
        struct hash_call *c = calloc(1, sizeof(*c));
        int r = c ? 0 : -ENOMEM;

        if (r >= 0) {
                *c = (struct hash_call){.call = call, .kv = kv};
                grpc_call_on_gone(call, on_gone, c);
                r = server_hash(s, rev, reply, c);
        }
        if (r < 0) {
                grpc_call_on_gone(call, NULL, NULL);
                server_refuse(call, r == -ENOMEM ? STORE_NO_MEMORY : STORE_TOO_MANY_REQUESTS);
                free(c);
        }
}

void service_hash(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;

        serve(s, call, mvcc_rev(s->state->kv.mvcc), false);
}

void service_hash_kv(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__HashKVRequest *r = UNPACK(s, hash_kvrequest, data, n);
        int64_t now = mvcc_rev(s->state->kv.mvcc);

        if (!r)
                server_refuse(call, STORE_BAD_MESSAGE);
        else if (r->revision > now)
                server_refuse(call, STORE_FUTURE_REV);
        else if (r->revision > 0 && r->revision < mvcc_compact_rev(s->state->kv.mvcc))
                server_refuse(call, STORE_COMPACTED);
        else
                serve(s, call, r->revision > 0 ? r->revision : now, true);
}
