/* Clients that would rather hear "no leader" than old news or nothing say so with the metadata
 * hasleader: true. Their calls are refused at once while there is no leader; their streams end when
 * there was none for three election timeouts, as in etcd: ending them costs more than waiting. */
#include "kstored/server/server.h"

enum { PATIENCE_ELECTIONS = 3 };

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
        if (!streq_ptr(grpc_call_metadata(call, required.name), required.value) ||
                        has_leader(userdata))
                return true;
        server_refuse(call, STORE_NO_LEADER);
        return false;
}

void require_leader_turn(struct server *s, uint64_t now_ms) {
        if (has_leader(s)) {
                s->leaderless_since_ms = 0;
                return;
        }
        if (s->leaderless_since_ms == 0)
                s->leaderless_since_ms = now_ms;
        if (now_ms - s->leaderless_since_ms <
                        PATIENCE_ELECTIONS * (uint64_t)s->options->election_ms)
                return;
        s->leaderless_since_ms = now_ms;
        grpc_server_end_streams(s->grpc, &required, store_error_code(STORE_NO_LEADER),
                        store_error_text(STORE_NO_LEADER));
}
