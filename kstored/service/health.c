/* grpc.health.v1.Health for the whole server (the service with no name). Watch says what Check
 * would whenever that changes; of a name that nobody serves it says so, once, and stays, as grpc-go
 * does. */
#include "kstored/server/server.h"
#include "proto/health.pb-c.h"

enum {
        STATUS_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING,
        STATUS_NOT_SERVING = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING,
        STATUS_SERVICE_UNKNOWN =
                        GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN,
};

struct health_watch {
        struct server *server;
        struct grpc_call *call;
        unsigned told;
        struct health_watch *next, **link;
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
        Grpc__Health__V1__HealthCheckRequest *r = unpack(s, data, n);
        _cleanup_buf_ struct buf b = {0};

        if (!r) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        if (!isempty(r->service)) {
                grpc_call_finish(call, GRPC_NOT_FOUND, "unknown service");
                return;
        }
        wire_uint(&b, 1, health_now(s));
        grpc_call_reply(call, b.data, b.size);
}

static void health_watch_free(struct health_watch *w) {
        *w->link = w->next;
        if (w->next)
                w->next->link = w->link;
        free(w);
}

static void on_gone(struct grpc_call *call, void *userdata) {
        health_watch_free(userdata);
}

static void tell(struct health_watch *w, unsigned status) {
        struct grpc_call *call = w->call;
        _cleanup_buf_ struct buf b = {0};

        if (status == w->told)
                return;
        w->told = status;
        wire_uint(&b, 1, status);
        if (!b.failed && grpc_call_send(call, b.data, b.size) >= 0)
                return;
        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_set_userdata(call, NULL);
        health_watch_free(w);
        server_refuse(call, STORE_NO_MEMORY);
}

void service_health_watch(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        Grpc__Health__V1__HealthCheckRequest *r = unpack(s, data, n);
        struct health_watch *w;

        if (grpc_call_userdata(call))
                return; /* it takes one request; more are nothing to it */
        if (!r) {
                server_refuse(call, STORE_BAD_MESSAGE);
                return;
        }
        w = calloc(1, sizeof(*w));
        if (!w) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        w->server = s;
        w->call = call;
        w->link = isempty(r->service) ? &s->health_watches : &s->health_strangers;
        w->next = *w->link;
        if (w->next)
                w->next->link = &w->next;
        *w->link = w;
        grpc_call_set_userdata(call, w);
        grpc_call_on_gone(call, on_gone, w);
        tell(w, isempty(r->service) ? health_now(s) : STATUS_SERVICE_UNKNOWN);
}

void health_turn(struct server *s) {
        unsigned status = s->health_watches ? health_now(s) : 0;
        struct health_watch *next;

        for (struct health_watch *w = s->health_watches; w; w = next) {
                next = w->next;
                tell(w, status);
        }
}
