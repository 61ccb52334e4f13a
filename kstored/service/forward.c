/* Calls that only the leader can answer, passed on to it on the connection among members: the peer
 * side of every member serves them too. */
#include "kstored/server/server.h"

static const char mark[] = "kstored-forwarded";
const struct grpc_metadata server_forward_metadata[] = {{mark, "1"}, {NULL, NULL}};

bool server_is_forwarded(const struct grpc_call *call) {
        return grpc_call_metadata(call, mark);
}

struct forward {
        struct server *server;
        struct grpc_call *call;
        struct grpc_client_call *onward;
        struct forward *next, **link;
};

static void forward_free(struct forward *f) {
        *f->link = f->next;
        if (f->next)
                f->next->link = f->link;
        free(f);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        struct forward *f = userdata;

        grpc_client_call_cancel(f->onward);
        forward_free(f);
}

static void on_answer(struct grpc_client_call *onward, const void *data, size_t n, void *userdata) {
        struct forward *f = userdata;
        struct grpc_call *call = f->call;

        grpc_client_call_cancel(onward);
        grpc_call_on_gone(call, NULL, NULL);
        forward_free(f);
        grpc_call_reply(call, data, n);
}

static void on_done(struct grpc_client_call *onward, enum grpc_code code, const char *message,
                void *userdata) {
        struct forward *f = userdata;
        struct grpc_call *call = f->call;

        grpc_call_on_gone(call, NULL, NULL);
        forward_free(f);
        grpc_call_finish(call, code == GRPC_OK ? GRPC_INTERNAL : code, message);
}

bool server_forward(struct server *s, struct grpc_call *call, const char *path, const void *data,
                size_t n) {
        struct grpc_client_call_options o = {.path = path,
                        .timeout_us = server_time_limit_ms(s) * 1000,
                        .metadata = server_forward_metadata,
                        .on_message = on_answer,
                        .on_done = on_done};
        struct grpc_channel *channel;
        struct raft_status status;
        struct forward *f;

        raft_get_status(s->raft, &status);
        if (status.role == RAFT_LEADER)
                return false;
        if (status.leader == 0 || server_is_forwarded(call)) {
                server_refuse(call, status.leader ? STORE_LEADER_CHANGED : STORE_NO_LEADER);
                return true;
        }
        channel = peers_channel(s->peers, status.leader);
        f = channel ? calloc(1, sizeof(*f)) : NULL;
        if (!f) {
                server_refuse(call, channel ? STORE_NO_MEMORY : STORE_NO_LEADER);
                return true;
        }
        f->server = s;
        f->call = call;
        f->link = &s->forwards;
        f->next = s->forwards;
        if (f->next)
                f->next->link = &f->next;
        s->forwards = f;
        o.userdata = f;
        if (grpc_client_unary(channel, &o, data, n, &f->onward) < 0) {
                forward_free(f);
                server_refuse(call, STORE_NO_MEMORY);
                return true;
        }
        grpc_call_on_gone(call, on_gone, f);
        return true;
}

/* Before the peers go: nobody else would end these. */
void forwards_end(struct server *s) {
        while (s->forwards) {
                struct forward *f = s->forwards;
                struct grpc_call *call = f->call;

                grpc_client_call_cancel(f->onward);
                grpc_call_on_gone(call, NULL, NULL);
                forward_free(f);
                server_refuse(call, STORE_STOPPED);
        }
}
