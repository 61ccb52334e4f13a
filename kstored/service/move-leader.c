/* Maintenance.MoveLeader: answered when another member leads, or when that took too long. */
#include "kstored/service/move-leader.h"

#include "kstored/server/server.h"
#include "kstored/service/reply.h"

struct move_leader {
        struct grpc_call *call; /* NULL: none waits */
        uint64_t end_ms;
};

static void on_gone(struct grpc_call *call, void *userdata) {
        struct move_leader *x = userdata;

        x->call = NULL;
}

/* STORE_OK: another member leads. */
static void finish(struct move_leader *x, enum store_error e) {
        struct grpc_call *call = TAKE_PTR(x->call);

        grpc_call_on_gone(call, NULL, NULL);
        if (e)
                server_refuse(call, e);
        else
                grpc_call_reply(call, "", 0); /* as etcd: no header */
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct move_leader *x = state;
        struct raft_status status;

        if (!x->call)
                return;
        raft_get_status(s->raft, &status);
        if (status.leader != 0 && status.leader != s->member_id)
                finish(x, STORE_OK);
        else if (now_ms >= x->end_ms || (status.role == RAFT_LEADER && status.transfer_to == 0))
                finish(x, STORE_TRANSFER_TIMEOUT);
}

static void stop(struct server *s, void *state) {
        struct move_leader *x = state;

        if (x->call)
                finish(x, STORE_STOPPED);
}

static enum store_error begin(struct server *s, const struct move_leader *x, uint64_t to) {
        if (!server_is_leader(s))
                return STORE_NOT_LEADER;
        if (!state_member(s->state, to))
                return STORE_BAD_TRANSFEREE;
        if (x->call)
                return STORE_TOO_MANY_REQUESTS;
        return raft_transfer(s->raft, to) < 0 ? STORE_BAD_TRANSFEREE : STORE_OK;
}

void service_move_leader(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct move_leader *x = server_part(s, SERVER_PART_MOVE_LEADER);
        Etcdserverpb__MoveLeaderRequest *request = UNPACK(s, move_leader_request, data, n);
        enum store_error e = request ? begin(s, x, request->targetid) : STORE_BAD_MESSAGE;

        if (e) {
                server_refuse(call, e);
                return;
        }
        if (request->targetid == s->member_id) {
                grpc_call_reply(call, "", 0);
                return;
        }
        x->call = call;
        x->end_ms = server_now_ms() + 3 * (uint64_t)s->options->election_ms;
        grpc_call_on_gone(call, on_gone, x);
}

const struct server_part move_leader_part = {.name = "move-leader",
                .size = sizeof(struct move_leader),
                .turn = turn,
                .stop = stop};
