/* Calls that only the leader can answer, passed on to it on the connection among members: the peer
 * side of every member serves them too. */
#include "kstored/service/forward.h"

#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/reply.h"

static const char mark[] = "kstored-forwarded";
const struct grpc_metadata server_forward_metadata[] = {{mark, "1"}, {NULL, NULL}};

bool server_is_forwarded(const struct grpc_call *call) {
        return grpc_call_metadata(call, mark);
}

struct forward {
        LIST_ENTRY(forward) link;
        struct grpc_call *call;
        struct grpc_client_call *onward;
};

struct forwards {
        LIST_HEAD(, forward) all;
};

static void forward_free(struct forward *f) {
        LIST_REMOVE(f, link);
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
        struct forwards *x = server_part(s, SERVER_PART_FORWARD);
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
        f->call = call;
        LIST_INSERT_HEAD(&x->all, f, link);
        o.userdata = f;
        if (grpc_client_unary(channel, &o, data, n, &f->onward) < 0) {
                forward_free(f);
                server_refuse(call, STORE_NO_MEMORY);
                return true;
        }
        grpc_call_on_gone(call, on_gone, f);
        return true;
}

/* The channels to the members end without a call's on_done. */
static void stop(struct server *s, void *state) {
        struct forwards *x = state;
        struct forward *f;

        while ((f = LIST_FIRST(&x->all))) {
                struct grpc_call *call = f->call;

                grpc_client_call_cancel(f->onward);
                grpc_call_on_gone(call, NULL, NULL);
                forward_free(f);
                server_refuse(call, STORE_STOPPED);
        }
}

const struct server_part forward_part = {
                .name = "forward", .size = sizeof(struct forwards), .stop = stop};
