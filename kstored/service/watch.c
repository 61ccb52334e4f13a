/* etcdserverpb.Watch: a stream of requests in, a stream of responses out. */
#include "kstored/server/server.h"

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

static int create(struct watch_call *w, const Etcdserverpb__WatchCreateRequest *r) {
        struct key_range range = {.key = (char *)r->key.data,
                        .key_size = r->key.len,
                        .end = (char *)r->range_end.data,
                        .end_size = r->range_end.len};
        unsigned flags = (r->prev_kv ? WATCH_PREV_KV : 0) |
                         (r->progress_notify ? WATCH_PROGRESS : 0) |
                         (r->fragment ? WATCH_FRAGMENT : 0);

        if (range.key_size == 0) {
                range.key = "";
                range.key_size = 1; /* "\0": the lowest key there can be */
        }
        for (size_t i = 0; i < r->n_filters; i++) {
                if (r->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT)
                        flags |= WATCH_NO_PUT;
                else if (r->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE)
                        flags |= WATCH_NO_DELETE;
        }
        return watch_create(w->stream, &range, r->start_revision, r->watch_id, flags);
}

void service_watch(struct grpc_call *call, const void *data, size_t n, void *server) {
        struct server *s = server;
        struct watch_call *w = grpc_call_userdata(call);
        Etcdserverpb__WatchRequest *r =
                        etcdserverpb__watch_request__unpack(&s->arena.allocator, n, data);
        int q = 0;

        if (!w)
                w = watch_call_new(s, call);
        if (!w) {
                server_refuse(call, STORE_NO_MEMORY);
                return;
        }
        if (w->ending)
                return;
        if (!r) {
                watch_end(w, GRPC_INTERNAL, store_error_text(STORE_BAD_MESSAGE));
                return;
        }
        switch (r->request_union_case) {
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
                q = create(w, r->create_request);
                break;
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
                q = watch_cancel(w->stream, r->cancel_request->watch_id);
                break;
        case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
                q = watch_progress(w->stream);
                break;
        default: /* nothing we know: as etcd, no answer */
                break;
        }
        if (q == -ENOMEM && !w->ending)
                watch_end(w, GRPC_RESOURCE_EXHAUSTED, store_error_text(STORE_NO_MEMORY));
}
