/* etcdserverpb.Lease. */
#include "kstored/server.h"
#include "lib/random.h"

#define UNPACK(s, name, data, n) etcdserverpb__##name##__unpack(&(s)->arena.allocator, (n), (data))

void service_lease_grant(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__LeaseGrantRequest *r = UNPACK(s, lease_grant_request, data, n);
        _cleanup_buf_ struct buf b = {0};
        enum store_error e = r ? server_check_space(s, n) : STORE_BAD_MESSAGE;

        if (!e && r->ttl > LEASE_TTL_MAX_S)
                e = STORE_LEASE_TTL_TOO_LARGE;
        if (e) {
                server_refuse(call, e);
                return;
        }
        /* The id is chosen here, once, so that every member uses the same. */
        while (r->id == 0)
                r->id = (int64_t)(random_u64() & INT64_MAX);
        wire_uint(&b, 1, (uint64_t)r->ttl);
        wire_uint(&b, 2, (uint64_t)r->id);
        if (b.failed)
                server_refuse(call, STORE_NO_MEMORY);
        else
                server_propose(s, call, COMMAND_LEASE_GRANT, b.data, b.size, NULL);
}

void service_lease_revoke(struct grpc_call *call, const void *data, size_t n, void *server) {
        server_propose(server, call, COMMAND_LEASE_REVOKE, data, n, NULL);
}

void service_lease_keep_alive(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__LeaseKeepAliveRequest *r = UNPACK(s, lease_keep_alive_request, data, n);
        _cleanup_buf_ struct buf b = {0};
        struct lease *x;
        int64_t ttl = 0;

        if (!r) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        x = lessor_find(s->state->kv.lessor, r->id);
        if (x && server_is_leader(s))
                lease_renew(x, server_now_ms());
        else if (x)
                server_propose(s, NULL, COMMAND_LEASE_RENEW, data, n, NULL);
        if (x)
                ttl = lease_ttl_s(x);
        server_header(s, &b, mvcc_rev(s->state->kv.mvcc));
        wire_uint(&b, 2, (uint64_t)r->id);
        wire_uint(&b, 3, (uint64_t)ttl); /* 0: there is no such lease any more */
        if (b.failed || grpc_call_send(call, b.data, b.size) < 0)
                server_refuse(call, STORE_TOO_MANY_REQUESTS);
}

void service_lease_half_close(struct grpc_call *call, void *server) {
        grpc_call_finish(call, GRPC_OK, NULL);
}

static void serve_time_to_live(
                struct server *s, struct grpc_call *call, const void *data, size_t n) {
        Etcdserverpb__LeaseTimeToLiveRequest *r = UNPACK(s, lease_time_to_live_request, data, n);
        _cleanup_free_ struct lease_key *keys = NULL;
        _cleanup_buf_ struct buf b = {0};
        struct lease *x = r ? lessor_find(s->state->kv.lessor, r->id) : NULL;
        size_t count = 0;

        if (!r) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        wire_uint(&b, 2, (uint64_t)r->id);
        wire_uint(&b, 3, x ? (uint64_t)lease_remaining_s(x, server_now_ms()) : (uint64_t)-1);
        if (x)
                wire_uint(&b, 4, (uint64_t)lease_ttl_s(x));
        if (x && r->keys && lease_keys(x, &keys, &count) < 0)
                b.failed = true;
        for (size_t i = 0; i < count; i++)
                wire_bytes(&b, 5, keys[i].key, keys[i].size);
        server_reply(s, call, mvcc_rev(s->state->kv.mvcc), &b);
}

void service_lease_time_to_live(struct grpc_call *call, const void *data, size_t n, void *server) {
        server_read(server, call, data, n, serve_time_to_live);
}

static void serve_leases(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        _cleanup_free_ int64_t *ids = NULL;
        _cleanup_buf_ struct buf b = {0};
        size_t count = 0;

        if (lessor_ids(s->state->kv.lessor, &ids, &count) < 0)
                b.failed = true;
        for (size_t i = 0; i < count; i++) {
                size_t mark = wire_begin(&b, 2);

                wire_uint(&b, 1, (uint64_t)ids[i]);
                wire_end(&b, mark);
        }
        server_reply(s, call, mvcc_rev(s->state->kv.mvcc), &b);
}

void service_lease_leases(struct grpc_call *call, const void *data, size_t n, void *server) {
        server_read(server, call, data, n, serve_leases);
}
