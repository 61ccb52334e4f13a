/* grpc.health.v1.Health for the whole server (the service with no name). Watch sends what Check
 * would answer whenever that changes. For an unknown name it sends SERVICE_UNKNOWN once and stays
 * open, as grpc-go does. */
#include "kstored/service/health.h"

#include <sys/queue.h>

#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "kstored/state/wire.h"
#include "proto/health.pb-c.h"

enum {
        STATUS_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
        STATUS_NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
        STATUS_SERVICE_UNKNOWN =
                        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

struct health_watch {
        LIST_ENTRY(health_watch) link;
        struct grpc_call *call;
        unsigned sent; /* the last status */
};

struct health {
        LIST_HEAD(health_watches, health_watch) watches; /* of the whole server */
        struct health_watches strangers;                 /* of unknown names */
};

static unsigned health_now(struct server *s) {
        const char *why;

        return server_is_ready(s, &why) ? STATUS_SERVING : STATUS_NOT_SERVING;
}

static Grpc__Health__V1__HealthCheckRequest *unpack(struct server *s, const void *data, size_t n) {
        return grpc__health__v1__health_check_request__unpack(&s->arena.allocator, n, data);
}

void service_health_check(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Grpc__Health__V1__HealthCheckRequest *request = unpack(s, data, n);
        _cleanup_buf_ struct buf b = {0};

        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (!isempty(request->service)) {
                grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service");
                return;
        }
        wire_uint(&b, 1, health_now(s));
        grpc_call_reply(call, b.data, b.size);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        struct health_watch *w = userdata;

        LIST_REMOVE(w, link);
        free(w);
}

static void send_status(struct health_watch *w, unsigned status) {
        struct grpc_call *call = w->call;
        _cleanup_buf_ struct buf b = {0};

        if (status == w->sent)
                return;
        w->sent = status;
        wire_uint(&b, 1, status);
        if (!b.failed && grpc_call_send(call, b.data, b.size) >= 0)
                return;
        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_set_userdata(call, NULL);
        on_gone(call, w);
        server_refuse(call, STORE_NO_MEMORY);
}

void service_health_watch(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Grpc__Health__V1__HealthCheckRequest *request = unpack(s, data, n);
        struct health *x = server_part(s, SERVER_PART_HEALTH);
        struct health_watch *w;

        if (grpc_call_userdata(call))
                return; /* it takes one request; further ones are ignored */
        if (!request) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        w = calloc(1, sizeof(*w));
        if (!w) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        w->call = call;
        if (isempty(request->service))
                LIST_INSERT_HEAD(&x->watches, w, link);
        else
                LIST_INSERT_HEAD(&x->strangers, w, link);
        grpc_call_set_userdata(call, w);
        grpc_call_on_gone(call, on_gone, w);
        send_status(w, isempty(request->service) ? health_now(s) : STATUS_SERVICE_UNKNOWN);
}

static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct health *x = state;
        struct health_watch *next;
        unsigned status;

        if (LIST_EMPTY(&x->watches))
                return;
        status = health_now(s);
        for (struct health_watch *w = LIST_FIRST(&x->watches); w; w = next) {
                next = LIST_NEXT(w, link);
                send_status(w, status);
        }
}

const struct server_part health_part = {
                .name = "health", .size = sizeof(struct health), .turn = turn};
