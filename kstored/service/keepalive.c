/* etcdserverpb.Lease/LeaseKeepAlive. The leader alone knows when a lease ends, so only it renews
 * one, and only once a round of heartbeats has shown that it still leads; every other member asks
 * it and passes its answer on. A stream may have many keepalives under way; each is answered as
 * soon as its outcome is known. */
#include "kstored/service/keepalive.h"

#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/forward.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"

enum { RENEWALS_MAX = 10000 }; /* of one stream */

static const char path[] = "/etcdserverpb.Lease/LeaseKeepAlive";

struct renewal {
        struct keepalives *stream; /* NULL: gone */
        int64_t id;
        struct grpc_client_call *onward; /* at the leader; NULL: waits for a barrier here */
        LIST_ENTRY(renewal) link;
};

struct keepalives {
        struct server *server;
        struct grpc_call *call;
        LIST_HEAD(, renewal) renewals;
        size_t count;
        bool half_closed;
};

static struct renewal *renewal_free(struct renewal *x) {
        if (x->stream) {
                assert(x->stream->count > 0);
                LIST_REMOVE(x, link);
                x->stream->count--;
        }
        free(x);
        return NULL;
}

/* The barriers still know the renewals that wait for them. */
static void keepalives_free(struct keepalives *k) {
        struct renewal *x;

        while ((x = LIST_FIRST(&k->renewals))) {
                LIST_REMOVE(x, link);
                x->stream = NULL;
                if (x->onward) {
                        grpc_client_call_cancel(x->onward);
                        renewal_free(x);
                }
        }
        free(k);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        keepalives_free(userdata);
}

static void keepalives_end(struct keepalives *k, enum grpc_code code, const char *message) {
        struct grpc_call *call = k->call;

        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_set_userdata(call, NULL);
        keepalives_free(k);
        grpc_call_finish(call, code, message);
}

static void keepalives_refuse(struct keepalives *k, enum store_error e) {
        keepalives_end(k, store_error_code(e), store_error_text(e));
}

static struct keepalives *keepalives_of(struct server *s, struct grpc_call *call) {
        struct keepalives *k = grpc_call_userdata(call);

        if (k)
                return k;
        k = calloc(1, sizeof(*k));
        if (!k)
                return NULL;
        k->server = s;
        k->call = call;
        grpc_call_set_userdata(call, k);
        grpc_call_on_gone(call, on_gone, k);
        return k;
}

/* ttl_s 0: the lease no longer exists. */
static void renewal_answer(struct renewal *x, int64_t ttl_s) {
        struct keepalives *k = x->stream;
        struct server *s = k->server;
        _cleanup_buf_ struct buf b = {0};

        server_header(s, &b, mvcc_rev(s->state->kv.mvcc));
        wire_uint(&b, 2, (uint64_t)x->id);
        wire_uint(&b, 3, (uint64_t)ttl_s);
        renewal_free(x);
        if (b.failed || grpc_call_send(k->call, b.data, b.size) < 0)
                keepalives_refuse(k, STORE_TOO_MANY_REQUESTS);
        else if (k->half_closed && k->count == 0)
                keepalives_end(k, GRPC_OK, NULL);
}

static void on_ready(struct server *s, enum store_error e, void *userdata) {
        struct renewal *x = userdata;
        struct lease *lease;

        if (!x->stream) {
                renewal_free(x);
                return;
        }
        if (!e && !server_is_leader(s))
                e = STORE_LEADER_CHANGED;
        if (e) {
                struct keepalives *k = x->stream;

                renewal_free(x);
                keepalives_refuse(k, e);
                return;
        }
        lease = lessor_find(s->state->kv.lessor, x->id);
        /* Too late: its end was proposed. */
        if (lease && lease_is_ending(lease))
                lease = NULL;
        if (lease)
                lease_renew(lease, server_now_ms());
        renewal_answer(x, lease ? lease_ttl_s(lease) : 0);
}

static void on_answer(struct grpc_client_call *onward, const void *data, size_t n, void *userdata) {
        struct renewal *x = userdata;
        struct server *s = x->stream->server;
        Etcdserverpb__LeaseKeepAliveResponse *response =
                        UNPACK(s, lease_keep_alive_response, data, n);

        grpc_client_call_cancel(onward);
        x->onward = NULL;
        if (response)
                renewal_answer(x, response->ttl);
        else {
                struct keepalives *k = x->stream;

                renewal_free(x);
                keepalives_refuse(k, STORE_BAD_MESSAGE);
        }
}

static void on_done(struct grpc_client_call *onward, enum grpc_code code, const char *message,
                void *userdata) {
        struct renewal *x = userdata;
        struct keepalives *k = x->stream;

        renewal_free(x);
        keepalives_end(k, code == GRPC_OK ? GRPC_UNAVAILABLE : code, message);
}

static enum store_error ask_leader(
                struct server *s, struct renewal *x, uint64_t leader, const void *data, size_t n) {
        struct grpc_client_call_options o = {.path = path,
                        .timeout_us = server_time_limit_ms(s) * 1000,
                        .metadata = server_forward_metadata,
                        .on_message = on_answer,
                        .on_done = on_done,
                        .userdata = x};
        struct grpc_channel *channel = peers_channel(s->peers, leader);

        if (!channel)
                return STORE_NO_LEADER;
        return grpc_client_unary(channel, &o, data, n, &x->onward) < 0 ? STORE_NO_MEMORY : STORE_OK;
}

static enum store_error renew(struct keepalives *k, int64_t id, const void *data, size_t n) {
        struct server *s = k->server;
        struct raft_status status;
        enum store_error e;
        struct renewal *x;

        raft_get_status(s->raft, &status);
        if (status.learner)
                return STORE_NOT_FOR_LEARNER;
        if (status.leader == 0)
                return STORE_NO_LEADER;
        if (status.role != RAFT_LEADER && server_is_forwarded(k->call))
                return STORE_LEADER_CHANGED;
        if (k->count >= RENEWALS_MAX)
                return STORE_TOO_MANY_REQUESTS;
        x = calloc(1, sizeof(*x));
        if (!x)
                return STORE_NO_MEMORY;
        x->stream = k;
        x->id = id;
        LIST_INSERT_HEAD(&k->renewals, x, link);
        k->count++;
        if (status.role == RAFT_LEADER)
                e = server_read_wait(s, on_ready, x);
        else
                e = ask_leader(s, x, status.leader, data, n);
        if (e)
                renewal_free(x);
        return e;
}

void service_lease_keep_alive(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__LeaseKeepAliveRequest *request = UNPACK(s, lease_keep_alive_request, data, n);
        struct keepalives *k = request ? keepalives_of(s, call) : NULL;
        enum store_error e;

        if (!k) {
                server_refuse(call, request ? STORE_NO_MEMORY : STORE_BAD_MESSAGE);
                return;
        }
        e = renew(k, request->id, data, n);
        if (e)
                keepalives_refuse(k, e);
}

void service_lease_half_close(struct grpc_call *call, void *server) {
        struct keepalives *k = grpc_call_userdata(call);

        if (!k)
                grpc_call_finish(call, GRPC_OK, NULL);
        else if (k->count == 0)
                keepalives_end(k, GRPC_OK, NULL);
        else
                k->half_closed = true;
}
