/* Calls with protobuf messages. A link remembers its calls, because a channel that is freed does
 * not tell them. */
#include "tests/chaos/chaos.h"

#include "lib/timefmt.h"

struct rpc {
        struct link *link;
        struct grpc_client_call *call;
        struct buf answer;
        rpc_done done;
        void *userdata;
        struct rpc *next, **back;
};

int message_pack(const ProtobufCMessage *m, struct buf *ret) {
        size_t n = protobuf_c_message_get_packed_size(m);
        _cleanup_free_ uint8_t *bytes = malloc(n + 1);

        if (!bytes)
                return -ENOMEM;
        protobuf_c_message_pack(m, bytes);
        return buf_append(ret, bytes, n);
}

static void rpc_end(struct rpc *r, enum grpc_code code, const char *message) {
        struct rpc_reply reply = {.code = code,
                        .message = message,
                        .data = r->answer.data ? r->answer.data : "",
                        .size = r->answer.size};
        struct chaos *c = r->link->chaos;

        *r->back = r->next;
        if (r->next)
                r->next->back = r->back;
        r->done(c, &reply, r->userdata);
        buf_done(&r->answer);
        free(r);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct rpc *r = userdata;

        buf_reset(&r->answer);
        (void)buf_append(&r->answer, data, n);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        rpc_end(userdata, code, message);
}

int link_open(struct link *l, struct chaos *c, const char *url) {
        _cleanup_problem_ struct problem p = {0};
        char *endpoints[] = {(char *)url, NULL};
        struct grpc_channel_options o = {.endpoints = endpoints};

        assert(!l->channel);
        l->chaos = c;
        return grpc_channel_new(&l->channel, c->event, &o, &p);
}

void link_close(struct link *l) {
        l->channel = grpc_channel_free(l->channel);
        while (l->calls)
                rpc_end(l->calls, GRPC_UNAVAILABLE, "the connection was closed");
}

bool link_is_up(const struct link *l) {
        return l->channel && grpc_channel_is_connected(l->channel);
}

int rpc_start(struct link *l, const char *path, const ProtobufCMessage *request,
                uint64_t timeout_us, rpc_done done, void *userdata) {
        struct grpc_client_call_options o = {.path = path,
                        .timeout_us = timeout_us,
                        .on_message = on_message,
                        .on_done = on_done};
        _cleanup_buf_ struct buf b = {0};
        struct rpc *r;
        int q;

        if (!l->channel)
                return -ENOTCONN;
        r = calloc(1, sizeof(*r));
        q = r ? message_pack(request, &b) : -ENOMEM;
        if (q < 0) {
                free(r);
                return q;
        }
        *r = (struct rpc){.link = l, .done = done, .userdata = userdata};
        o.userdata = r;
        q = grpc_client_unary(l->channel, &o, b.data ? b.data : "", b.size, &r->call);
        if (q < 0) {
                free(r);
                return q;
        }
        r->next = l->calls;
        r->back = &l->calls;
        if (r->next)
                r->next->back = &r->next;
        l->calls = r;
        return 0;
}

struct waited {
        bool done;
        enum grpc_code code;
        struct buf data;
};

static void on_waited(struct chaos *c, const struct rpc_reply *reply, void *userdata) {
        struct waited *w = userdata;

        w->done = true;
        w->code = reply->code;
        (void)buf_append(&w->data, reply->data, reply->size);
        snprintf(c->answer, sizeof(c->answer), "%d %s", (int)reply->code, strempty(reply->message));
}

enum grpc_code rpc_wait(struct link *l, const char *path, const ProtobufCMessage *request,
                uint64_t timeout_us, void **ret_data, size_t *ret_size) {
        struct waited w = {.code = GRPC_UNAVAILABLE};

        if (rpc_start(l, path, request, timeout_us, on_waited, &w) < 0)
                return GRPC_UNAVAILABLE;
        while (!w.done)
                if (sd_event_run(l->chaos->event, 100000) < 0)
                        break;
        assert(w.done); /* every call has its own time limit */
        if (ret_data) {
                *ret_size = w.data.size;
                *ret_data = buf_take(&w.data);
        }
        buf_done(&w.data);
        return w.code;
}
