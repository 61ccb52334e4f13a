/* Clients ask with the metadata hasleader: true to fail while there is no leader, instead of
 * waiting or receiving nothing. Their calls are refused at once then; their streams end when there
 * was none for three election timeouts, as in etcd: ending them costs more than waiting. */
#include "kstored/service/require-leader.h"

#include "kstored/server/server.h"
#include "kstored/service/reply.h"

enum { PATIENCE_ELECTIONS = 3 };

struct require_leader {
        uint64_t leaderless_since_ms; /* 0: there is a leader */
};

static const struct grpc_metadata required = {"hasleader", "true"};

static bool has_leader(const struct server *s) {
        struct raft_status status;

        raft_get_status(s->raft, &status);
        return status.leader != 0;
}

bool server_admit(struct grpc_call *call, void *userdata) {
        const struct server *s = userdata;

        if (s->fatal) {
                server_refuse(call, STORE_STOPPED);
                return false;
        }
        if (!streq_ptr(grpc_call_metadata(call, required.name), required.value) || has_leader(s))
                return true;
        server_refuse(call, STORE_NO_LEADER);
        return false;
}

static void tick(struct server *s, void *state, uint64_t now_ms) {
        struct require_leader *x = state;

        if (has_leader(s)) {
                x->leaderless_since_ms = 0;
                return;
        }
        if (x->leaderless_since_ms == 0)
                x->leaderless_since_ms = now_ms;
        if (now_ms - x->leaderless_since_ms <
                        PATIENCE_ELECTIONS * (uint64_t)s->options->election_ms)
                return;
        x->leaderless_since_ms = now_ms;
        grpc_server_end_streams(s->grpc, &required, store_error_code(STORE_NO_LEADER),
                        store_error_text(STORE_NO_LEADER));
}

const struct server_part require_leader_part = {
                .name = "require-leader", .size = sizeof(struct require_leader), .tick = tick};
