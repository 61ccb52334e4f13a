/* A watcher of everything on each member. It takes up again where it was when its member comes
 * back; its events must be every revision, in order, once. */
#include "tests/chaos/chaos.h"

enum { RETRY_US = 100000 };

struct event {
        int64_t rev;
        uint64_t hash; /* change_hash() */
        uint64_t rest; /* of the other fields */
};

struct watcher {
        struct chaos *chaos;
        unsigned member;
        struct link link;
        struct grpc_client_call *call;
        sd_event_source *retry;
        struct event *events;
        size_t count, allocated;
        int64_t base; /* what came until then was compacted before this one began */
        int64_t rev;  /* seen to its end */
        uint64_t resumed;
};

static const char *name_of(const struct watcher *w) {
        return w->chaos->slots[w->member].name;
}

static void take_event(struct watcher *w, const Mvccpb__Event *e) {
        bool put = e->type == MVCCPB__EVENT__EVENT_TYPE__PUT;
        const Mvccpb__KeyValue *kv = e->kv;
        struct event seen;
        int64_t last;

        seen.rev = kv->mod_revision;
        seen.hash = change_hash(put, kv->key.data, kv->key.len, kv->value.data, kv->value.len);
        seen.rest = (uint64_t)kv->create_revision * 0x9e3779b97f4a7c15u +
                    (uint64_t)kv->version * 0xbf58476d1ce4e5b9u + (uint64_t)kv->lease;
        last = w->count > 0 ? w->events[w->count - 1].rev : w->base;
        if (seen.rev < last)
                chaos_fail(w->chaos, "the watcher of %s got revision %lld after %lld", name_of(w),
                                (long long)seen.rev, (long long)last);
        else if (seen.rev <= w->rev)
                chaos_fail(w->chaos, "the watcher of %s got revision %lld twice", name_of(w),
                                (long long)seen.rev);
        else if (seen.rev > last + 1)
                chaos_fail(w->chaos, "the watcher of %s missed revisions between %lld and %lld",
                                name_of(w), (long long)last, (long long)seen.rev);
        chaos_grow(&w->events, &w->allocated, w->count, sizeof(*w->events));
        w->events[w->count++] = seen;
}

static void watcher_retry(struct watcher *w) {
        (void)sd_event_source_set_time_relative(w->retry, RETRY_US);
        (void)sd_event_source_set_enabled(w->retry, SD_EVENT_ONESHOT);
}

static void on_message(struct grpc_client_call *call, const void *data, size_t n, void *userdata) {
        struct watcher *w = userdata;
        Etcdserverpb__WatchResponse *r = etcdserverpb__watch_response__unpack(NULL, n, data);

        if (!r) {
                chaos_fail(w->chaos,
                                "the watcher of %s got an event that cannot be "
                                "parsed",
                                name_of(w));
                return;
        }
        if (r->canceled && r->compact_revision > 0 && w->count == 0)
                w->rev = w->base = r->compact_revision;
        else if (r->canceled)
                chaos_fail(w->chaos, "the watcher of %s at revision %lld was ended: %s%s",
                                name_of(w), (long long)w->rev, strempty(r->cancel_reason),
                                r->compact_revision ? " (compacted)" : "");
        for (size_t i = 0; i < r->n_events; i++)
                take_event(w, r->events[i]);
        /* A revision is delivered as a whole. */
        if (w->count > 0)
                w->rev = w->events[w->count - 1].rev;
        if (r->canceled) {
                w->call = grpc_client_call_cancel(call);
                watcher_retry(w);
        }
        etcdserverpb__watch_response__free_unpacked(r, NULL);
}

static void on_done(struct grpc_client_call *call, enum grpc_code code, const char *message,
                void *userdata) {
        struct watcher *w = userdata;

        w->call = NULL;
        if (w->link.channel)
                watcher_retry(w);
}

static int watcher_watch(struct watcher *w) {
        struct grpc_client_call_options o = {.path = "/etcdserverpb.Watch/Watch",
                        .timeout_us = UINT64_MAX,
                        .on_message = on_message,
                        .on_done = on_done,
                        .userdata = w};
        Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
        Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
        _cleanup_buf_ struct buf b = {0};
        int r;

        create.key = create.range_end = (ProtobufCBinaryData){.len = 1, .data = (uint8_t *)""};
        create.start_revision = w->rev + 1;
        request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        request.create_request = &create;
        r = message_pack(&request.base, &b);
        if (r >= 0)
                r = grpc_client_call_start(w->link.channel, &o, &w->call);
        if (r >= 0)
                r = grpc_client_call_send(w->call, b.data, b.size);
        w->resumed++;
        return r;
}

static int on_retry(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watcher *w = userdata;

        if (!w->link.channel || w->call)
                return 0;
        if (watcher_watch(w) < 0) {
                if (w->call)
                        w->call = grpc_client_call_cancel(w->call);
                watcher_retry(w);
        }
        return 0;
}

int watcher_new(struct watcher **ret, struct chaos *c, unsigned member) {
        struct watcher *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->chaos = c;
        w->member = member;
        w->base = w->rev = 1; /* an empty store has it */
        r = sd_event_add_time(c->event, &w->retry, CLOCK_MONOTONIC, 0, 1000, on_retry, w);
        if (r >= 0)
                r = sd_event_source_set_enabled(w->retry, SD_EVENT_OFF);
        if (r < 0) {
                watcher_free(w);
                return r;
        }
        *ret = w;
        return 0;
}

struct watcher *watcher_free(struct watcher *w) {
        if (!w)
                return NULL;
        watcher_disconnect(w);
        sd_event_source_disable_unref(w->retry);
        free(w->events);
        free(w);
        return NULL;
}

void watcher_connect(struct watcher *w) {
        watcher_disconnect(w);
        if (link_open(&w->link, w->chaos, w->chaos->slots[w->member].url) < 0)
                chaos_fail(w->chaos, "out of memory");
        watcher_retry(w);
}

void watcher_disconnect(struct watcher *w) {
        w->call = NULL;
        link_close(&w->link);
        (void)sd_event_source_set_enabled(w->retry, SD_EVENT_OFF);
}

int64_t watcher_rev(const struct watcher *w) {
        return w->rev;
}

uint64_t watcher_resumed(const struct watcher *w) {
        return w->resumed;
}

static size_t find_rev(const struct watcher *w, int64_t rev) {
        size_t low = 0, high = w->count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (w->events[middle].rev < rev)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

void watcher_check_acknowledged(struct watcher *w) {
        const struct chaos *c = w->chaos;

        for (size_t i = 0; i < c->change_count; i++) {
                const struct change *k = &c->changes[i];
                bool reported = k->rev <= w->base;

                for (size_t e = find_rev(w, k->rev); e < w->count && w->events[e].rev == k->rev;
                                e++)
                        reported = reported || w->events[e].hash == k->hash;
                if (!reported)
                        chaos_fail(w->chaos,
                                        "the watcher of %s missed an acknowledged change of "
                                        "revision %lld",
                                        name_of(w), (long long)k->rev);
        }
}

void watcher_check_same(struct watcher *a, struct watcher *b) {
        size_t i = find_rev(a, b->base + 1), k = find_rev(b, a->base + 1);

        for (; i < a->count && k < b->count; i++, k++)
                if (a->events[i].rev != b->events[k].rev ||
                                a->events[i].hash != b->events[k].hash ||
                                a->events[i].rest != b->events[k].rest) {
                        chaos_fail(a->chaos,
                                        "the watchers of %s and %s got different events of "
                                        "revision %lld",
                                        name_of(a), name_of(b), (long long)a->events[i].rev);
                        return;
                }
}
