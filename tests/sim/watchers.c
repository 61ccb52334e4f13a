/* Watches that continue where they were when their member ends. Each must get the changes of its
 * range in order, all of them and each once; only a compaction may leave some out, and says so. */
#include "proto/rpc.pb-c.h"
#include "tests/sim/sim.h"

enum seen_kind { SEEN_CHANGE, SEEN_PROGRESS, SEEN_COMPACTED, SEEN_ENDED };

struct seen {
        enum seen_kind kind;
        int64_t rev; /* of the change, of the progress, or that can be watched again */
        uint64_t hash;
};

struct watcher_client {
        unsigned number;
        char key[16], end[16]; /* end "": a single key */
        size_t end_size;
        struct world *world;
        struct node *node; /* NULL: not attached */
        struct watch_stream *stream;
        bool started;     /* wanted is known */
        int64_t wanted;   /* the first revision it has not seen in full */
        size_t at;        /* the next change of the story to come */
        int64_t last_rev; /* of the last change it saw */
        uint64_t slow_until_us;
        struct seen *seen; /* not judged yet */
        size_t seen_count, seen_allocated;
};

static void add_seen(struct watcher_client *x, struct seen s) {
        if (x->seen_count == x->seen_allocated) {
                x->seen_allocated = x->seen_allocated * 2 + 32;
                x->seen = reallocarray(x->seen, x->seen_allocated, sizeof(s));
                assert(x->seen);
        }
        x->seen[x->seen_count++] = s;
}

static void take_event(struct watcher_client *x, const Mvccpb__Event *e) {
        const Mvccpb__KeyValue *kv = e->kv;
        struct change_figures f = {.rev = kv->mod_revision,
                        .create = kv->create_revision,
                        .version = kv->version,
                        .lease = kv->lease};

        add_seen(x, (struct seen){.kind = SEEN_CHANGE,
                                    .rev = kv->mod_revision,
                                    .hash = change_hash(&f, kv->key.data, kv->key.len,
                                                    kv->value.data, kv->value.len)});
}

static int sink_send(void *userdata, const void *data, size_t n) {
        struct watcher_client *x = userdata;
        Etcdserverpb__WatchResponse *r = etcdserverpb__watch_response__unpack(NULL, n, data);

        assert(r);
        for (size_t i = 0; i < r->n_events; i++)
                take_event(x, r->events[i]);
        if (r->created && !x->started) {
                x->started = true;
                x->wanted = r->header->revision + 1;
                x->at = SIZE_MAX; /* found when the story is that far */
        } else if (r->canceled)
                add_seen(x, (struct seen){.kind = r->compact_revision ? SEEN_COMPACTED : SEEN_ENDED,
                                            .rev = r->compact_revision});
        else if (!r->created && r->n_events == 0)
                add_seen(x, (struct seen){.kind = SEEN_PROGRESS, .rev = r->header->revision});
        etcdserverpb__watch_response__free_unpacked(r, NULL);
        return 0;
}

static size_t sink_queued(void *userdata) {
        const struct watcher_client *x = userdata;

        return x->slow_until_us > x->world->now_us ? WATCH_QUEUED_MAX + 1 : 0;
}

static struct key_range range_of(const struct watcher_client *x) {
        return (struct key_range){.key = x->key,
                        .key_size = strlen(x->key),
                        .end = x->end,
                        .end_size = x->end_size};
}

/* The next change of its range at or after where it is; change_count when there is none. */
static size_t next_change(struct watcher_client *x, size_t from) {
        const struct story *s = &x->world->story;
        struct key_range range = range_of(x);

        while (from < s->change_count &&
                        !key_in_range(&range, s->changes[from].key, strlen(s->changes[from].key)))
                from++;
        return from;
}

static void detach(struct watcher_client *x) {
        x->stream = watch_stream_free(x->stream);
        x->node = NULL;
}

static void judge(struct watcher_client *x, const struct seen *s) {
        struct world *w = x->world;
        const struct story *story = &w->story;

        if (x->at == SIZE_MAX)
                x->at = story_find(story, x->wanted);
        x->at = next_change(x, x->at);
        switch (s->kind) {
        case SEEN_CHANGE:
                if (x->at == story->change_count || story->changes[x->at].rev != s->rev ||
                                story->changes[x->at].hash != s->hash) {
                        fail(w,
                                        "watcher %u of [%s, %s) got a change of revision %lld; "
                                        "next was %lld (seen until %lld)",
                                        x->number, x->key, x->end, (long long)s->rev,
                                        x->at < story->change_count
                                                        ? (long long)story->changes[x->at].rev
                                                        : 0LL,
                                        (long long)x->last_rev);
                        return;
                }
                x->at++;
                x->last_rev = s->rev;
                x->wanted = s->rev + 1;
                return;
        case SEEN_PROGRESS:
                if (x->at < story->change_count && story->changes[x->at].rev <= s->rev)
                        fail(w,
                                        "watcher %u of [%s, %s) was notified that it has "
                                        "everything up to %lld, but lacks revision %lld",
                                        x->number, x->key, x->end, (long long)s->rev,
                                        (long long)story->changes[x->at].rev);
                return;
        case SEEN_COMPACTED:
                if (s->rev > story->compacted || s->rev <= x->wanted)
                        fail(w,
                                        "watcher %u, which wants revision %lld, was told that it "
                                        "is compacted to %lld (%lld is)",
                                        x->number, (long long)x->wanted, (long long)s->rev,
                                        (long long)story->compacted);
                x->wanted = s->rev;
                x->at = story_find(story, s->rev);
                detach(x);
                return;
        case SEEN_ENDED:
                fail(w, "watcher %u was ended", x->number);
                return;
        }
}

void watchers_check(struct world *w, bool at_end) {
        for (unsigned i = 0; w->watchers && i < WATCHERS && !w->failure; i++) {
                struct watcher_client *x = &w->watchers[i];

                for (size_t k = 0; k < x->seen_count && !w->failure && !w->forked; k++)
                        judge(x, &x->seen[k]);
                x->seen_count = 0;
        }
        if (at_end && !w->failure && !watchers_at_end(w))
                fail(w, "a watcher has not got everything");
}

bool watchers_at_end(struct world *w) {
        for (unsigned i = 0; i < WATCHERS; i++) {
                struct watcher_client *x = &w->watchers[i];

                if (!x->started)
                        return false;
                if (x->at == SIZE_MAX)
                        x->at = story_find(&w->story, x->wanted);
                if (next_change(x, x->at) < w->story.change_count)
                        return false;
        }
        return true;
}

void watchers_gone(struct world *w, struct node *n) {
        watchers_check(w, false); /* events sent until now count */
        for (unsigned i = 0; w->watchers && i < WATCHERS; i++)
                if (w->watchers[i].node == n)
                        detach(&w->watchers[i]);
}

static void attach(struct world *w, struct watcher_client *x) {
        struct node *n = some_node(w);
        struct watch_sink sink = {.send = sink_send, .queued = sink_queued, .userdata = x};
        struct key_range range = range_of(x);

        if (!n)
                return;
        x->node = n;
        w->count.watch_moves++;
        assert(watch_stream_new(&x->stream, n->replica->hub, &sink) >= 0);
        assert(watch_create(x->stream, &range, x->started ? x->wanted : 0, 0,
                               one_in(w, 2) ? WATCH_PREV_KV | WATCH_PROGRESS : 0) >= 0);
}

static void next(struct world *w, struct node *none, void *data, uint64_t number) {
        struct watcher_client *x = data;

        if (x->stream && !w->healing && one_in(w, 4))
                detach(x);
        if (!x->stream)
                attach(w, x);
        else if (one_in(w, 3))
                (void)watch_progress(x->stream);
        else if (!w->healing && one_in(w, 3))
                x->slow_until_us = w->now_us + between(w, 10 * MS, 1500 * MS);
        if (x->stream && one_in(w, 4))
                hub_progress(x->node->replica->hub);
        after(w, between(w, 50 * MS, 1200 * MS), NULL, next, x, NULL, 0);
}

static void set_range(struct watcher_client *x, const char *key, const char *end, size_t end_size) {
        snprintf(x->key, sizeof(x->key), "%s", key);
        snprintf(x->end, sizeof(x->end), "%s", end);
        x->end_size = end_size;
}

void watchers_start(struct world *w) {
        w->watchers = calloc(WATCHERS, sizeof(w->watchers[0]));
        assert(w->watchers);
        for (unsigned i = 0; i < WATCHERS; i++) {
                struct watcher_client *x = &w->watchers[i];

                x->number = i;
                x->world = w;
                switch (i) {
                case 0:
                        set_range(x, "r1", "", 0);
                        break;
                case 1:
                        set_range(x, "l", "m", 1);
                        break;
                default: /* everything */
                        set_range(x, "a", "", 1);
                }
                after(w, between(w, 10 * MS, 2 * SECOND), NULL, next, x, NULL, 0);
        }
}

void watchers_done(struct world *w) {
        for (unsigned i = 0; w->watchers && i < WATCHERS; i++) {
                watch_stream_free(w->watchers[i].stream);
                free(w->watchers[i].seen);
        }
        w->watchers = (free(w->watchers), NULL);
}
