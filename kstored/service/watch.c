/* etcdserverpb.Watch: a stream of requests in, a stream of responses out. */
#include "kstored/service/watch.h"

#include "kstored/server/server.h"
#include "kstored/service/reply.h"
#include "lib/timefmt.h"

struct watch_service {
        uint64_t sync_at_us; /* watchers that lag have their turn then */
};

struct watch_call {
        struct server *server;
        struct grpc_call *call;
        struct watch_stream *stream;
        sd_event_source *ending; /* set once a response could not be queued */
};

static struct watch_call *watch_call_free(struct watch_call *w) {
        watch_stream_free(w->stream);
        sd_event_source_disable_unref(w->ending);
        free(w);
        return NULL;
}

static void on_watch_gone(struct grpc_call *call, void *userdata) {
        watch_call_free(userdata);
}

static void watch_end(struct watch_call *w, enum grpc_code code, const char *why) {
        struct grpc_call *call = w->call;

        grpc_call_on_gone(call, NULL, NULL);
        grpc_call_set_userdata(call, NULL);
        watch_call_free(w);
        grpc_call_finish(call, code, why);
}

/* Ended from here and not from inside the hub, which is walking its lists then. */
static int on_ending(sd_event_source *source, void *userdata) {
        watch_end(userdata, GRPC_RESOURCE_EXHAUSTED, "etcdserver: watch stream is too slow");
        return 0;
}

static int sink_send(void *userdata, const void *data, size_t n) {
        struct watch_call *w = userdata;
        int r;

        if (w->ending)
                return -EPIPE;
        r = grpc_call_send(w->call, data, n);
        if (r < 0)
                (void)sd_event_add_defer(w->server->event, &w->ending, on_ending, w);
        return r;
}

static size_t sink_queued(void *userdata) {
        struct watch_call *w = userdata;

        return grpc_call_queued(w->call);
}

static struct watch_call *watch_call_new(struct server *s, struct grpc_call *call) {
        struct watch_call *w = calloc(1, sizeof(*w));
        struct watch_sink sink = {.send = sink_send, .queued = sink_queued, .userdata = w};

        if (!w)
                return NULL;
        w->server = s;
        w->call = call;
        if (watch_stream_new(&w->stream, s->hub, &sink) < 0) {
                free(w);
                return NULL;
        }
        grpc_call_set_userdata(call, w);
        grpc_call_on_gone(call, on_watch_gone, w);
        return w;
}

static int create(struct watch_call *w, const Etcdserverpb__WatchCreateRequest *request) {
        struct key_range range = {.key = (char *)request->key.data,
                        .key_size = request->key.len,
                        .end = (char *)request->range_end.data,
                        .end_size = request->range_end.len};
        unsigned flags = (request->prev_kv ? WATCH_PREV_KV : 0) |
                         (request->progress_notify ? WATCH_PROGRESS : 0) |
                         (request->fragment ? WATCH_FRAGMENT : 0);

        if (range.key_size == 0) {
                range.key = "";
                range.key_size = 1; /* "\0": the lowest key there can be */
        }
        for (size_t i = 0; i < request->n_filters; i++) {
                if (request->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT)
                        flags |= WATCH_NO_PUT;
                else if (request->filters[i] ==
                                ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE)
                        flags |= WATCH_NO_DELETE;
        }
        return watch_create(w->stream, &range, request->start_revision, request->watch_id, flags);
}

static int serve(struct watch_call *w, const Etcdserverpb__WatchRequest *request) {
        switch (request->request_union_case) {
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
                return create(w, request->create_request);
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
                return watch_cancel(w->stream, request->cancel_request->watch_id);
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
                return watch_progress(w->stream);
        default: /* unknown: as etcd, no answer */
                return 0;
        }
}

void service_watch(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct watch_call *w = grpc_call_userdata(call);
        Etcdserverpb__WatchRequest *request = UNPACK(s, watch_request, data, n);

        if (!w)
                w = watch_call_new(s, call);
        if (!w) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        if (w->ending)
                return;
        if (!request) {
                watch_end(w, GRPC_INTERNAL, store_error_text(STORE_BAD_MESSAGE));
                return;
        }
        if (serve(w, request) == -ENOMEM && !w->ending)
                watch_end(w, GRPC_RESOURCE_EXHAUSTED, store_error_text(STORE_NO_MEMORY));
}

/* Watchers that lag get at most half of the loop's time: after a step, as much time as it took
 * passes without one. */
static void turn(struct server *s, void *state, uint64_t now_ms) {
        struct watch_service *x = state;
        uint64_t now_us = now_mono_us(), after_us;
        int r;

        if (!hub_lags(s->hub))
                return;
        if (now_us < x->sync_at_us) {
                server_wake_at(s, x->sync_at_us);
                return;
        }
        r = hub_sync_step(s->hub);
        after_us = now_mono_us();
        x->sync_at_us = after_us + (after_us - now_us);
        if (r > 0)
                server_wake_at(s, x->sync_at_us);
}

const struct server_part watch_part = {
                .name = "watch", .size = sizeof(struct watch_service), .turn = turn};
