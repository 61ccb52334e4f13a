/* etcdserverpb.Cluster. */
#include "kstored/server.h"

#define UNPACK(s, name, data, n) etcdserverpb__##name##__unpack(&(s)->arena.allocator, (n), (data))

static int compare_members(const void *a, const void *b) {
        const struct member *x = *(struct member *const *)a, *y = *(struct member *const *)b;

        return x->id < y->id ? -1 : x->id > y->id;
}

static void put_members(const struct server *s, struct buf *b) {
        struct member *sorted[RAFT_MEMBERS_MAX];

        memcpy(sorted, s->state->members, s->state->member_count * sizeof(sorted[0]));
        qsort(sorted, s->state->member_count, sizeof(sorted[0]), compare_members);
        for (size_t i = 0; i < s->state->member_count; i++)
                wire_member(b, 2, sorted[i]);
}

static void serve_members(struct server *s, struct grpc_call *call, const void *data, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        put_members(s, &b);
        /* As etcd: the header of this service carries no revision. */
        server_reply(s, call, 0, &b);
}

void service_member_list(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberListRequest *r = UNPACK(s, member_list_request, data, n);

        if (!r)
                server_refuse(call, STORE_BAD_MESSAGE);
        else if (r->linearizable)
                server_read(s, call, data, n, serve_members);
        else
                serve_members(s, call, data, n);
}

void service_member_add(struct grpc_call *call, const void *data, size_t n, void *server) {
        grpc_call_finish(call, GRPC_UNIMPLEMENTED,
                        "kstored: clusters of more than one member are not served by this version");
}

void service_member_promote(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberPromoteRequest *r = UNPACK(s, member_promote_request, data, n);

        if (!r)
                server_refuse(call, STORE_BAD_MESSAGE);
        else
                server_refuse(call, state_member(s->state, r->id) ? STORE_MEMBER_NOT_LEARNER
                                                                  : STORE_MEMBER_NOT_FOUND);
}

static void reply_members(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata) {
        if (o->error)
                server_refuse(call, o->error);
        else
                serve_members(s, call, NULL, 0);
}

void service_member_remove(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberRemoveRequest *r = UNPACK(s, member_remove_request, data, n);
        struct raft_change change;

        if (!r || !state_member(s->state, r->id)) {
                server_refuse(call, r ? STORE_MEMBER_NOT_FOUND : STORE_BAD_MESSAGE);
                return;
        }
        change = (struct raft_change){.op = RAFT_REMOVE, .id = r->id};
        server_propose_change(s, call, &change, NULL, 0, reply_members);
}

static bool is_url(const char *u) {
        const char *host = startswith(u, "http://");

        if (!host)
                host = startswith(u, "https://");
        if (!host)
                host = startswith(u, "unix://");
        return !isempty(host);
}

void service_member_update(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MemberUpdateRequest *r = UNPACK(s, member_update_request, data, n);
        struct member *known = r ? state_member(s->state, r->id) : NULL, changed;
        _cleanup_strv_free_ char **urls = NULL;
        _cleanup_buf_ struct buf b = {0};
        struct raft_change change;

        if (!known) {
                server_refuse(call, r ? STORE_MEMBER_NOT_FOUND : STORE_BAD_MESSAGE);
                return;
        }
        for (size_t i = 0; i < r->n_peerurls; i++)
                if (!is_url(r->peerurls[i])) {
                        server_refuse(call, STORE_MEMBER_BAD_URLS);
                        return;
                } else if (strv_extend(&urls, r->peerurls[i]) < 0) {
                        server_refuse(call, STORE_NO_MEMORY);
                        return;
                }
        if (!urls) {
                server_refuse(call, STORE_MEMBER_BAD_URLS);
                return;
        }
        for (size_t i = 0; i < s->state->member_count; i++)
                for (char **u = urls; *u; u++)
                        if (s->state->members[i] != known && s->state->members[i]->peer_urls &&
                                        strv_contains(s->state->members[i]->peer_urls, *u)) {
                                server_refuse(call, STORE_PEER_URL_EXISTS);
                                return;
                        }
        changed = *known;
        changed.peer_urls = urls;
        if (member_encode(&changed, &b) < 0) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        change = (struct raft_change){.op = RAFT_UPDATE, .id = r->id};
        server_propose_change(s, call, &change, b.data, b.size, reply_members);
}
