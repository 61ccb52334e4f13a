/* Maintenance.MoveLeader: answered when another member leads, or when that took too long. */
#include "kstored/server/server.h"

struct moving {
        struct server *server;
        struct grpc_call *call;
        uint64_t end_ms;
};

static void moving_free(struct moving *m) {
        m->server->moving = NULL;
        free(m);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        moving_free(userdata);
}

/* STORE_OK: it has moved. */
static void finish(struct moving *m, enum store_error e) {
        struct grpc_call *call = m->call;

        grpc_call_on_gone(call, NULL, NULL);
        moving_free(m);
        if (e)
                server_refuse(call, e);
        else
                grpc_call_reply(call, "", 0); /* etcd gives no header here */
}

void move_leader_turn(struct server *s, uint64_t now_ms) {
        struct raft_status status;

        if (!s->moving)
                return;
        raft_get_status(s->raft, &status);
        if (status.leader != 0 && status.leader != s->member_id)
                finish(s->moving, STORE_OK);
        else if (now_ms >= s->moving->end_ms ||
                        (status.role == RAFT_LEADER && status.transfer_to == 0))
                finish(s->moving, STORE_TRANSFER_TIMEOUT);
}

void move_leader_end(struct server *s) {
        if (s->moving)
                finish(s->moving, STORE_STOPPED);
}

void service_move_leader(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Etcdserverpb__MoveLeaderRequest *r =
                        etcdserverpb__move_leader_request__unpack(&s->arena.allocator, n, data);
        enum store_error e = STORE_BAD_MESSAGE;
        struct moving *m;

        if (r)
                e = !server_is_leader(s)                   ? STORE_NOT_LEADER
                    : !state_member(s->state, r->targetid) ? STORE_BAD_TRANSFEREE
                    : s->moving                            ? STORE_TOO_MANY_REQUESTS
                                                           : STORE_OK;
        if (!e && raft_transfer(s->raft, r->targetid) < 0)
                e = STORE_BAD_TRANSFEREE;
        if (!e && r->targetid == s->member_id) {
                grpc_call_reply(call, "", 0);
                return;
        }
        m = e ? NULL : calloc(1, sizeof(*m));
        if (!m) {
                server_refuse(call, e ? e : STORE_NO_MEMORY);
                return;
        }
        *m = (struct moving){.server = s,
                        .call = call,
                        .end_ms = server_now_ms() + 3 * (uint64_t)s->options->election_ms};
        s->moving = m;
        grpc_call_on_gone(call, on_gone, m);
}
