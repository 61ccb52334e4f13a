/* A connection of its own for every check, as a kubelet does it: a probe also finds out whether the
 * server accepts new ones. The messages are those of the kubelet's grpc probe. */
#include "nodeagent/pod/probe-grpc.h"

#include "lib/buf.h"
#include "lib/grpc-client.h"
#include "proto/health.pb-c.h"

enum { ANSWER_SIZE_MAX = 4096, TARGET_SIZE = 64 };

struct probe_grpc {
        struct grpc_channel *channel;
        struct grpc_client_call *call;
        char target[TARGET_SIZE]; /* address:port */
        uint64_t timeout_us;
        const char *status; /* of the answer, static; NULL: none yet */
        bool serving;
        probe_grpc_func done;
        void *userdata;
};

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct probe_grpc *g = userdata;
        Grpc__Health__V1__HealthCheckResponse *answer =
                        grpc__health__v1__health_check_response__unpack(
                                        /* allocator= */ NULL, n, data);
        static const char *const names[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};

        if (!answer)
                return;
        g->status = (size_t)answer->status < ELEMENTS(names) ? names[answer->status] : "UNKNOWN";
        g->serving = answer->status ==
                     GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        grpc__health__v1__health_check_response__free_unpacked(answer, NULL);
}

/* Why the check failed; caller frees. */
static char *failure_text(const struct probe_grpc *g, enum grpc_code code, const char *message) {
        unsigned long long seconds = g->timeout_us / 1000000;

        switch (code) {
        case GRPC_OK:
                return strformat("service unhealthy (responded with \"%s\")",
                                g->status ? g->status : "UNKNOWN");
        case GRPC_UNIMPLEMENTED:
                return strformat("error: this server does not implement the grpc health protocol "
                                 "(grpc.health.v1.Health): %.200s",
                                message);
        case GRPC_DEADLINE_EXCEEDED:
                return strformat("timeout: health rpc did not complete within %llus", seconds);
        case GRPC_UNAVAILABLE:
                return strformat("timeout: failed to connect service \"%s\" within %llus: %.200s",
                                g->target, seconds, message);
        default:
                return strformat("error: health rpc probe failed: %.200s", message);
        }
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct probe_grpc *g = userdata;
        bool passed = code == GRPC_OK && g->serving;
        _cleanup_free_ char *text = passed ? NULL : failure_text(g, code, strempty(message));

        g->call = NULL;
        /* Frees g. */
        g->done(passed, strempty(text), g->userdata);
}

static int connect_to(struct probe_grpc *g, sd_event *event) {
        _cleanup_free_ char *url = strformat("http://%s", g->target);
        char *endpoints[] = {url, NULL};
        struct grpc_channel_options o = {
                        .endpoints = endpoints, .message_size_max = ANSWER_SIZE_MAX};

        return url ? grpc_channel_new(&g->channel, event, &o, /* p= */ NULL) : -ENOMEM;
}

static int ask(struct probe_grpc *g, const char *service) {
        Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
        struct grpc_client_call_options o = {.path = "/grpc.health.v1.Health/Check",
                        .timeout_us = g->timeout_us,
                        .fail_fast = true,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = g};
        _cleanup_free_ char *name = strdup(service);
        _cleanup_free_ uint8_t *data = NULL;
        size_t n;

        if (!name)
                return -ENOMEM;
        request.service = name;
        n = grpc__health__v1__health_check_request__get_packed_size(&request);
        data = malloc(MAX(n, (size_t)1));
        if (!data)
                return -ENOMEM;
        grpc__health__v1__health_check_request__pack(&request, data);
        return grpc_client_unary(g->channel, &o, data, n, &g->call);
}

int probe_grpc_start(struct probe_grpc **ret, sd_event *event, const struct probe_grpc_options *o) {
        _cleanup_(probe_grpc_freep) struct probe_grpc *g = calloc(1, sizeof(*g));
        bool ipv6 = strchr(o->address, ':') != NULL;
        int r;

        if (!g)
                return -ENOMEM;
        g->done = o->done;
        g->userdata = o->userdata;
        g->timeout_us = o->timeout_us;
        snprintf(g->target, sizeof(g->target), ipv6 ? "[%s]:%u" : "%s:%u", o->address, o->port);
        r = connect_to(g, event);
        if (r < 0)
                return r;
        r = ask(g, o->service);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

struct probe_grpc *probe_grpc_free(struct probe_grpc *g) {
        if (!g)
                return NULL;
        grpc_client_call_cancel(g->call);
        grpc_channel_free(g->channel);
        free(g);
        return NULL;
}
