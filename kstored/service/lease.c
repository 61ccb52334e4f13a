/* etcdserverpb.Lease. */
#include "kstored/service/lease.h"

#include "kstored/server/quota.h"
#include "kstored/server/server.h"
#include "kstored/service/forward.h"
#include "kstored/service/reads.h"
#include "kstored/service/reply.h"
#include "kstored/service/requests.h"
#include "lib/random.h"

enum { SORTED_KEYS_MAX = 1000 };

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

/* etcd returns them in no order; here they are sorted where that takes little time. */
static int list_keys(const struct lease *x, struct buf *b) {
        _cleanup_free_ struct lease_key *keys = NULL;
        size_t count;
        int r = lease_key_count(x) <= SORTED_KEYS_MAX ? lease_keys(x, &keys, &count)
                                                      : lease_keys_unsorted(x, &keys, &count);

        for (size_t i = 0; r >= 0 && i < count; i++)
                wire_bytes(b, 5, keys[i].key, keys[i].size);
        return r;
}

static void serve_time_to_live(
                struct server *s, struct grpc_call *call, const void *data, size_t n) {
        Etcdserverpb__LeaseTimeToLiveRequest *r = UNPACK(s, lease_time_to_live_request, data, n);
        _cleanup_answer_ struct kv_answer a = {0};
        struct buf *b = &a.text;
        struct lease *x = r ? lessor_find(s->state->kv.lessor, r->id) : NULL;

        if (!r) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        wire_uint(b, 2, (uint64_t)r->id);
        wire_uint(b, 3, x ? (uint64_t)lease_remaining_s(x, server_now_ms()) : (uint64_t)-1);
        if (x)
                wire_uint(b, 4, (uint64_t)lease_ttl_s(x));
        if (x && r->keys && list_keys(x, b) < 0)
                b->failed = true;
        server_answer(s, call, mvcc_rev(s->state->kv.mvcc), &a);
}

void service_lease_time_to_live(struct grpc_call *call, const void *data, size_t n, void *server) {
        /* Only the leader knows what is left. */
        if (!server_forward(server, call, "/etcdserverpb.Lease/LeaseTimeToLive", data, n))
                server_read(server, call, data, n, serve_time_to_live);
}

static void serve_leases(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        _cleanup_free_ int64_t *ids = NULL;
        _cleanup_answer_ struct kv_answer a = {0};
        size_t count = 0;

        if (lessor_ids(s->state->kv.lessor, &ids, &count) < 0)
                a.failed = true;
        for (size_t i = 0; i < count; i++) {
                size_t mark = wire_begin(&a.text, 2);

                wire_uint(&a.text, 1, (uint64_t)ids[i]);
                wire_end(&a.text, mark);
        }
        server_answer(s, call, mvcc_rev(s->state->kv.mvcc), &a);
}

void service_lease_leases(struct grpc_call *call, const void *data, size_t n, void *server) {
        server_read(server, call, data, n, serve_leases);
}
