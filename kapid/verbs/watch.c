/* Watches. A watcher reads the cache's window of changes at its own pace: it has a place in the
 * window and writes what comes after it while its connection takes it. So nothing is queued for a
 * slow reader beyond QUEUE_MAX bytes; when the window has moved past its place the connection is
 * aborted: a watch never has a gap. The initial state is a vector of items that is read in
 * the same way. */
#include "kapid/verbs/watch.h"

#include <inttypes.h>

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"
#include "kapid/http/protobuf.h"
#include "kapid/pipeline/forms.h"
#include "kapid/verbs/converted.h"
#include "kapid/verbs/list-options.h"
#include "kapid/verbs/verbs.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum {
        QUEUE_MAX = 8 * 1024 * 1024, /* one object more than the mark still fits */
        QUEUE_HIGH = 256 * 1024,     /* no more is written until it has drained */
        PUMP_MAX = 512,              /* events in one go: others want to be served too */
        BUSY_US = 1000 * 1000,       /* while too much is converted */
        BOOKMARK_US = 60 * 1000 * 1000,
        TIMEOUT_MIN_S = 1800,
        TIMEOUT_MAX_S = 24 * 3600,
};

struct watcher {
        struct api *api;
        struct cache_follower follower;
        bool idle; /* it wants some changes only, and had seen all when it was last looked at */
        struct kind *kind;
        struct selection selection;
        char *namespace, *user;
        bool everything;
        enum form form;
        char form_version[8];
        bool protobuf; /* frames rather than lines of JSON */
        enum table_include include;
        bool bookmarks;
        bool columns_sent;
        bool announce_end; /* of the initial events, by a bookmark */
        bool expired;      /* what it begins after is no longer known */
        struct http_stream *stream;
        struct conversion *conversion; /* of what comes next; NULL: none */
        bool converts_initial;
        VECTOR(struct item *) initial;
        size_t initial_next; /* of initial */
        uint64_t place;      /* number of the next change to look at */
        uint64_t after;      /* changes up to this revision are known to the client */
        uint64_t sent;       /* the last revision that was sent */
        sd_event_source *timeout, *bookmark, *more;
};

static const char *const words[] = {[WATCH_ADDED] = "ADDED",
                [WATCH_MODIFIED] = "MODIFIED",
                [WATCH_DELETED] = "DELETED"};

static struct watcher *watcher_free(struct watcher *w) {
        if (!w)
                return NULL;
        cache_unfollow(&w->follower);
        conversion_cancel(w->conversion);
        sd_event_source_disable_unref(w->timeout);
        sd_event_source_disable_unref(w->bookmark);
        sd_event_source_disable_unref(w->more);
        for (size_t i = w->initial_next; i < w->initial.count; i++)
                item_unref(w->initial.items[i]);
        vector_done(&w->initial);
        if (w->stream)
                w->api->streams--;
        selection_done(&w->selection);
        free(w->namespace);
        free(w->user);
        kind_unref(w->kind);
        return mfree(w);
}
DEFINE_CLEANUP(struct watcher *, watcher_free);

int watch_transition(const struct kind *k, const struct selection *s, const struct change *c,
                enum watch_event *ret_event, struct item **ret, struct item **ret_made,
                struct problem *p) {
        int was = c->before ? selection_matches(k, s, c->before, p) : 0, is, r;

        *ret_event = WATCH_NONE;
        *ret_made = NULL;
        if (was < 0)
                return was;
        is = c->after ? selection_matches(k, s, c->after, p) : 0;
        if (is < 0)
                return is;
        if (is) {
                *ret_event = was ? WATCH_MODIFIED : WATCH_ADDED;
                *ret = c->after;
                return 0;
        }
        if (!was)
                return 0;
        *ret_event = WATCH_DELETED;
        *ret = c->gone;
        if (c->gone)
                return 0;
        r = item_gone_as(c->before, k, c->revision, ret_made);
        if (r < 0)
                return r;
        *ret = *ret_made;
        return 0;
}

static void line_begin(struct buf *b, const char *word) {
        buf_printf(b, "{\"type\":\"%s\",\"object\":", word);
}

static struct bytes *line_end(struct buf *b) {
        buf_append_str(b, "}\n");
        return b->failed ? NULL : bytes_new(b->data, b->size);
}

static struct bytes *line_of(const char *word, const char *text, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        line_begin(&b, word);
        buf_append(&b, text, n);
        return line_end(&b);
}

/* What the watcher's objects are in protobuf. */
static struct message_type watcher_message(const struct watcher *w) {
        return w->form == FORM_PARTIAL ? message_of_metadata(w->api->kinds, w->form_version)
                                       : message_of_kind(w->kind);
}

static int frame_of(const char *word, const struct message_type *t, const char *text, size_t n,
                struct bytes **ret) {
        _cleanup_buf_ struct buf b = {0};
        int r = encode_event(&b, word, t, text, n);

        if (r < 0)
                return r;
        *ret = bytes_new(b.data, b.size);
        return *ret ? 0 : -ENOMEM;
}

/* The event of an object's whole text, which is of that type. */
static int event_of(const struct watcher *w, const char *word, const struct message_type *t,
                const char *text, size_t n, struct bytes **ret) {
        if (w->protobuf)
                return frame_of(word, t, text, n, ret);
        *ret = line_of(word, text, n);
        return *ret ? 0 : -ENOMEM;
}

/* A Table without rows. */
static json_t *table_of(struct watcher *w, const json_t *metadata) {
        json_t *table = table_new(w->kind, w->form_version, metadata, !w->columns_sent);

        w->columns_sent = true;
        return table;
}

/* A Table with the item's row, which is put where the Table's text has none. */
static int write_table(
                struct watcher *w, const struct item *it, const struct bytes *text, struct buf *b) {
        static const char end[] = "]}";
        _cleanup_json_ json_t *metadata = NULL, *table = NULL;
        _cleanup_free_ char *empty = NULL;
        char number[24];
        size_t n;
        int r;

        snprintf(number, sizeof(number), "%" PRIu64, item_revision(it));
        metadata = json_pack("{ss}", "resourceVersion", number);
        table = metadata ? table_of(w, metadata) : NULL;
        empty = table ? json_text(table) : NULL;
        n = empty ? strlen(empty) : 0;
        if (n < strlen(end) || !streq(empty + n - strlen(end), end))
                return -ENOMEM;
        buf_append(b, empty, n - strlen(end));
        r = table_write_row(b, w->kind, text->data, text->size, w->include, now_wall_us());
        return r < 0 ? r : buf_append_str(b, end);
}

/* An item as a Table's row or as metadata alone. */
static int line_formed(struct watcher *w, enum watch_event event, struct item *it,
                struct bytes **ret, struct problem *p) {
        _cleanup_buf_ struct buf b = {0};
        struct item *form;
        int r = item_as(it, w->kind, &form, p);

        if (r < 0)
                return r;
        line_begin(&b, words[event]);
        if (w->form == FORM_TABLE)
                r = write_table(w, it, item_text(form), &b);
        else
                r = partial_metadata_write(
                                &b, item_text(form)->data, item_text(form)->size, w->form_version);
        if (r < 0)
                return r;
        *ret = line_end(&b);
        return *ret ? 0 : -ENOMEM;
}

/* The line or frame of an item in the watcher's form. Those of whole objects in the storage version
 * are made once per change and shared by every watcher. */
static int line_of_event(struct watcher *w, enum watch_event event, struct item *it,
                struct change *shared, struct bytes **ret, struct problem *p) {
        const struct message_type t = watcher_message(w);
        struct bytes **slot = NULL, *line;
        struct item *form;
        int r;

        if (w->form != FORM_OBJECT && !w->protobuf)
                return line_formed(w, event, it, ret, p);
        if (shared && w->form == FORM_OBJECT &&
                        streq(w->kind->api_version, w->kind->storage_api_version))
                slot = &shared->lines[w->protobuf][event - 1];
        if (slot && *slot) {
                *ret = bytes_ref(*slot);
                return 0;
        }
        r = item_as(it, w->kind, &form, p);
        if (r < 0)
                return r;
        r = event_of(w, words[event], &t, item_text(form)->data, item_text(form)->size, &line);
        if (r < 0)
                return r == -EINVAL ? encode_refused(p, w->kind, item_path(it)) : r;
        if (slot) {
                *slot = bytes_ref(line);
                cache_change_grew(w->follower.cache, shared, line->size);
        }
        *ret = line;
        return 0;
}

/* Ends by breaking the connection: the reader must not take this for a clean end. */
static void watcher_break(struct watcher *w, const char *why) {
        log_debug("A watch of %s is aborted: %s", w->kind->plural, why);
        http_stream_abort(w->stream);
        watcher_free(w);
}

static struct bytes *bookmark_line(struct watcher *w, uint64_t revision, bool initial_end) {
        char number[24];
        const struct message_type t = watcher_message(w);
        _cleanup_json_ json_t *metadata = NULL, *v = NULL;
        _cleanup_free_ char *text = NULL;
        struct bytes *line;

        snprintf(number, sizeof(number), "%" PRIu64, revision);
        metadata = json_pack("{ss}", "resourceVersion", number);
        if (metadata && initial_end)
                json_object_set_new(metadata, "annotations",
                                json_pack("{ss}", "k8s.io/initial-events-end", "true"));
        if (!metadata)
                return NULL;
        if (w->form == FORM_TABLE)
                v = table_of(w, metadata);
        else
                v = json_pack("{ss, ss, sO}", "kind",
                                w->form == FORM_PARTIAL ? "PartialObjectMetadata" : w->kind->kind,
                                "apiVersion",
                                w->form == FORM_PARTIAL ? "meta.k8s.io/v1" : w->kind->api_version,
                                "metadata", metadata);
        text = v ? json_text(v) : NULL;
        return text && event_of(w, "BOOKMARK", &t, text, strlen(text), &line) >= 0 ? line : NULL;
}

/* Takes the line. */
static int write_line(struct watcher *w, struct bytes *line) {
        int r = line ? http_stream_write(w->stream, line) : -ENOMEM;

        bytes_unref(line);
        if (r >= 0 && w->api->watch_events)
                metric_add(w->api->watch_events, 1);
        return r;
}

static int write_event(struct watcher *w, enum watch_event event, struct item *it,
                struct change *shared, struct problem *p) {
        struct bytes *line;
        int r = line_of_event(w, event, it, shared, &line, p);

        return r < 0 ? r : write_line(w, line);
}

/* An object cannot be shown to the watcher: an ERROR event says why, and the watch ends. */
static void watcher_refuse(struct watcher *w, const struct problem *p) {
        _cleanup_json_ json_t *status = problem_to_status(p, NULL, w->kind->group, w->kind->plural);
        const struct message_type t = message_of_status(w->api->kinds);
        _cleanup_free_ char *text = status ? json_text(status) : NULL;
        struct bytes *line;

        if (!text || event_of(w, "ERROR", &t, text, strlen(text), &line) < 0 ||
                        write_line(w, line) < 0) {
                watcher_break(w, "its error could not be sent");
                return;
        }
        http_stream_end(w->stream);
        watcher_free(w);
}

static int pump_initial(struct watcher *w, struct problem *p) {
        while (w->initial_next < w->initial.count) {
                _cleanup_item_ struct item *it = NULL;
                int r;

                if (http_stream_queued(w->stream) > QUEUE_HIGH)
                        return 0;
                it = w->initial.items[w->initial_next++];
                r = write_event(w, WATCH_ADDED, it, NULL, p);
                if (r < 0)
                        return r;
        }
        vector_done(&w->initial);
        w->initial_next = 0;
        if (!w->announce_end)
                return 1;
        w->announce_end = false;
        w->sent = w->after;
        return write_line(w, bookmark_line(w, w->after, true)) < 0 ? -ENOBUFS : 1;
}

static int pump_change(struct watcher *w, struct change *c, struct problem *p) {
        _cleanup_item_ struct item *made = NULL;
        enum watch_event event;
        struct item *it;
        int r;

        if (c->revision <= w->after)
                return 0;
        if (!c->after && !c->gone && c->before) {
                r = item_gone_as(c->before, w->kind, c->revision, &c->gone);
                if (r < 0)
                        return r;
                cache_change_grew(w->follower.cache, c, item_text(c->gone)->size);
        }
        r = watch_transition(w->kind, &w->selection, c, &event, &it, &made, p);
        if (r < 0 || event == WATCH_NONE)
                return r;
        r = write_event(w, event, it, made ? NULL : c, p);
        w->sent = c->revision;
        return r;
}

static void pump(struct watcher *w);
static void watcher_converted(
                struct item *const *forms, size_t n, struct problem *p, void *userdata);

static int convert(struct watcher *w, struct item *const *items, size_t n, struct problem *p) {
        const struct conversion_waiter waiter = {
                        .done = watcher_converted, .user = w->user, .userdata = w};

        return conversion_start(w->api, w->kind, items, n, &waiter, &w->conversion, p);
}

/* Starts the conversion of what comes next, where a webhook makes its forms. 1: it continues when
 * they are there; 0: nothing needs one. */
static int convert_initial(struct watcher *w, struct problem *p) {
        size_t n = w->initial.count - w->initial_next;
        int r = n > 0 && w->kind->by_webhook ? convert(w, w->initial.items + w->initial_next, n, p)
                                             : 0;

        w->converts_initial = r > 0;
        return r;
}

static bool change_is_unread(struct watcher *w, const struct change *c) {
        struct item *const all[] = {c->before, c->after, c->gone};

        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (all[i] && conversion_is_needed(all[i], w->kind))
                        return true;
        return false;
}

/* This change and those behind it. */
static int convert_changes(struct watcher *w, struct problem *p) {
        const struct cache *c = w->follower.cache;
        struct item *items[CONVERSION_OBJECTS_MAX];
        size_t n = 0;

        for (uint64_t place = w->place; place < cache_window_end(c) && n + 3 <= ELEMENTS(items);
                        place++) {
                const struct change *change = cache_change(c, place);
                struct item *const all[] = {change->before, change->after, change->gone};

                for (size_t i = 0; i < ELEMENTS(all); i++)
                        if (all[i])
                                items[n++] = all[i];
        }
        return convert(w, items, n, p);
}

static int on_more(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watcher *w = userdata;

        w->more = sd_event_source_disable_unref(w->more);
        pump(w);
        return 0;
}

static int pump_later(struct watcher *w, uint64_t delay_us) {
        if (w->more)
                return 0;
        return sd_event_add_time_relative(
                        w->api->event, &w->more, CLOCK_MONOTONIC, delay_us, 0, on_more, w);
}

/* A definition that changed serves its kind in a new form: with other defaults, other columns. */
static void take_present_kind(struct watcher *w) {
        const struct kind *k = w->kind, *now;

        if (!k->custom)
                return;
        now = kind_registry_find(w->api->kinds, k->group, k->version, k->plural);
        if (!now || now == k || now->namespaced != k->namespaced)
                return;
        w->kind = kind_ref(now);
        kind_unref((struct kind *)k);
}

/* 0: all that the connection takes now was written. -ESTALE: the window has moved past the
 * watcher's place. Other errors: the connection takes no more, or p. */
static int pump_some(struct watcher *w, struct problem *p) {
        const struct cache *c = w->follower.cache;
        unsigned n = 0;
        int r;

        if (w->initial.count > 0 || w->announce_end) {
                r = pump_initial(w, p);
                if (r <= 0)
                        return r;
        }
        while (c && w->place < cache_window_end(c)) {
                struct change *change = cache_change(c, w->place);

                if (!change)
                        return -ESTALE;
                if (http_stream_queued(w->stream) > QUEUE_HIGH)
                        return 0;
                if (change->revision > w->after && change_is_unread(w, change))
                        return MIN(convert_changes(w, p), 0);
                if (n++ == PUMP_MAX)
                        return pump_later(w, 0);
                r = pump_change(w, change, p);
                if (r < 0)
                        return r;
                w->place++;
        }
        return 0;
}

/* Whether everything up to the caches' revision has been sent. */
static bool is_current(const struct watcher *w) {
        const struct cache *c = w->follower.cache;

        if (w->initial.count > 0 || w->announce_end || !c)
                return false;
        return w->idle ? !w->follower.due : w->place == cache_window_end(c);
}

static void on_drained(struct http_stream *s, void *userdata) {
        pump(userdata);
}

/* The next call: when the connection takes more, or when something changes. */
static void pumped(struct watcher *w) {
        const bool current = is_current(w);

        w->idle = w->follower.interest && current;
        http_stream_on_drained(w->stream, current ? NULL : on_drained, w);
}

/* Writes what there is as long as the connection takes it. May end the watch. */
static void pump(struct watcher *w) {
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (w->conversion)
                return;
        if (w->idle) /* what lies between is not of its interest */
                w->place = MAX(w->place, cache_follower_next(&w->follower));
        w->idle = false;
        take_present_kind(w);
        r = convert_initial(w, &p);
        if (r > 0)
                return;
        r = r < 0 ? r : pump_some(w, &p);
        if (r == -EBUSY && p.code == 429)
                r = pump_later(w, BUSY_US);
        if (r < 0 && p.code)
                watcher_refuse(w, &p);
        else if (r < 0)
                watcher_break(w, "its reader is too slow");
        else
                pumped(w);
}

/* The forms of what comes next are there: it is written now, before others are read. */
static void watcher_converted(
                struct item *const *forms, size_t n, struct problem *p, void *userdata) {
        struct watcher *w = userdata;

        w->conversion = NULL;
        if (p) {
                watcher_refuse(w, p);
                return;
        }
        for (size_t i = 0; w->converts_initial && i < n; i++) {
                struct item **it = &w->initial.items[w->initial_next + i];
                struct item *form = item_ref(forms[i]);

                if (!form)
                        continue;
                item_unref(*it);
                *it = form;
        }
        pump(w);
}

static void on_changes(struct cache_follower *f, bool lost) {
        struct watcher *w = container_of(f, struct watcher, follower);

        if (lost) {
                watcher_break(w, "the store's history is gone");
                return;
        }
        if (w->idle) /* it may have been read before the call */
                w->place = MAX(w->place, f->first);
        w->idle = false;
        pump(w);
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        watcher_free(userdata);
}

static int send_bookmark(struct watcher *w) {
        uint64_t revision = MAX(caches_revision(w->api->caches), w->after);

        if (!w->bookmarks || !is_current(w) || revision == w->sent)
                return 0;
        w->sent = revision;
        return write_line(w, bookmark_line(w, revision, false));
}

static int on_bookmark(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watcher *w = userdata;

        (void)sd_event_source_set_time_relative(
                        source, BOOKMARK_US - BOOKMARK_US / 10 + random_below(BOOKMARK_US / 5));
        (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        if (send_bookmark(w) < 0)
                watcher_break(w, "its reader is too slow");
        return 0;
}

/* A clean end: a last bookmark, then the final chunk. */
static int on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watcher *w = userdata;

        if (send_bookmark(w) < 0) {
                watcher_break(w, "its reader is too slow");
                return 0;
        }
        http_stream_end(w->stream);
        watcher_free(w);
        return 0;
}

static int take_initial(struct watcher *w, struct cache *c, struct problem *p) {
        _cleanup_free_ char *prefix = selection_prefix(w->kind, &w->selection);
        struct cache_walk walk;
        struct item *it;

        if (!prefix || selection_walk(w->kind, &w->selection, c, prefix, NULL, &walk) < 0)
                return -ENOMEM;
        while ((it = cache_walk_next(&walk))) {
                int r = selection_matches(w->kind, &w->selection, it, p);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                r = vector_append(&w->initial, it);
                if (r < 0)
                        return r;
                item_ref(it);
        }
        w->after = caches_revision(w->api->caches);
        w->place = cache_window_end(c);
        return 0;
}

/* Changes that can't concern it do not wake it. */
static int follow(struct watcher *w, struct cache *c) {
        const struct selection *s = &w->selection;
        const char *namespace = w->kind->namespaced && *s->namespace ? s->namespace : NULL;
        struct cache_term terms[SELECTION_TERMS_MAX];
        _cleanup_free_ char *path = NULL;

        if (s->name && (namespace || !w->kind->namespaced)) {
                path = namespace ? strformat("%s/%s", namespace, s->name) : strdup(s->name);
                if (!path)
                        return -ENOMEM;
        }
        cache_follow(c, &w->follower,
                        &(struct cache_interest){.path = path,
                                        .namespace = namespace,
                                        .terms = terms,
                                        .term_count = selection_terms(w->kind, s, terms)});
        return 0;
}

static int set_timers(struct watcher *w, uint64_t timeout_s) {
        int r = sd_event_add_time_relative(w->api->event, &w->timeout, CLOCK_MONOTONIC,
                        timeout_s * 1000000, 0, on_timeout, w);

        if (r < 0 || !w->bookmarks)
                return r;
        return sd_event_add_time_relative(w->api->event, &w->bookmark, CLOCK_MONOTONIC,
                        BOOKMARK_US - BOOKMARK_US / 10 + random_below(BOOKMARK_US / 5), 0,
                        on_bookmark, w);
}

struct watch_params {
        struct verb_state state;
        uint64_t revision;
        uint64_t timeout_s;
        bool initial; /* what exists comes first */
        bool announce_end;
        bool bookmarks;
};

static void params_free(struct verb_state *s) {
        free(container_of(s, struct watch_params, state));
}

static int watcher_new(struct request *request, const struct watch_params *params,
                struct watcher **ret, struct problem *p) {
        _cleanup_(watcher_freep) struct watcher *w = calloc(1, sizeof(*w));
        int r;

        if (!w)
                return -ENOMEM;
        w->api = request->api;
        w->kind = kind_ref(request->kind);
        w->follower.func = on_changes;
        w->form = request->form;
        memcpy(w->form_version, request->form_version, sizeof(w->form_version));
        w->protobuf = request->protobuf;
        w->include = request->include;
        w->bookmarks = params->bookmarks;
        w->announce_end = params->announce_end;
        r = selection_parse(request, &w->selection, p);
        if (r < 0)
                return r;
        w->namespace = strdup(w->selection.namespace);
        w->user = strdup(request_sharer(request));
        if (!w->namespace || !w->user)
                return -ENOMEM;
        w->selection.namespace = w->namespace;
        if (params->initial) {
                r = take_initial(w, request->cache, p);
                if (r < 0)
                        return r;
        } else {
                /* Neither a version nor the present state: from now on. */
                w->after = params->revision ? params->revision
                                            : caches_revision(request->api->caches);
                r = cache_window_after(request->cache, w->after, &w->place);
                w->expired = r == -ESTALE;
                if (r < 0 && !w->expired)
                        return r;
        }
        r = set_timers(w, params->timeout_s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(w);
        return 0;
}

/* As the reference server: one event says it, not the answer's code. Clients that watch again by
 * themselves (Python's) do so after such an event only. */
static void watcher_expire(struct watcher *w, uint64_t revision) {
        _cleanup_problem_ struct problem p = {0};

        problem_set(&p, ESTALE, 410, "Expired",
                        "too old resource version: %" PRIu64 " (%" PRIu64 ")", revision,
                        caches_revision(w->api->caches));
        watcher_refuse(w, &p);
}

static int start(struct request *request, const struct watch_params *params, struct problem *p) {
        _cleanup_(watcher_freep) struct watcher *w = NULL;
        int r = watcher_new(request, params, &w, p);

        if (r < 0)
                return r;
        if (!dispatch_stream(request))
                return 0;
        r = follow(w, request->cache);
        if (r < 0)
                return r;
        w->stream = respond_stream(request,
                        w->protobuf ? PROTOBUF_WATCH_MEDIA_TYPE : "application/json", QUEUE_MAX,
                        on_stream_gone, w);
        if (!w->stream)
                return 0;
        request->api->streams++;
        if (w->expired)
                watcher_expire(TAKE_PTR(w), params->revision);
        else
                pump(TAKE_PTR(w));
        return 0;
}

static int watch_begin(struct request *request, struct problem *p) {
        return start(request, container_of(request->state, struct watch_params, state), p);
}

static void watch_now(struct request *request) {
        request_convert_selected(request, watch_begin);
}

static int read_params(struct request *request, struct watch_params *w, struct problem *p) {
        const char *version = request_query(request, "resourceVersion"),
                   *match = request_query(request, "resourceVersionMatch"),
                   *timeout = request_query(request, "timeoutSeconds"),
                   *initial = request_query(request, "sendInitialEvents");

        if (!isempty(version) && parse_u64(version, &w->revision) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%.64s\"", version);
        w->timeout_s = TIMEOUT_MIN_S + random_below(TIMEOUT_MIN_S);
        if (!isempty(timeout) && parse_u64(timeout, &w->timeout_s) < 0)
                return problem_set(
                                p, EINVAL, 400, "BadRequest", "timeoutSeconds: must be a number");
        if (w->timeout_s == 0 || w->timeout_s > TIMEOUT_MAX_S)
                w->timeout_s = TIMEOUT_MIN_S + random_below(TIMEOUT_MIN_S);
        w->bookmarks = query_true(request_query(request, "allowWatchBookmarks"));
        w->initial = w->revision == 0;
        if (!initial) {
                if (!isempty(match))
                        return list_options_refused(p, "FieldValueForbidden",
                                        "resourceVersionMatch",
                                        "Forbidden: resourceVersionMatch is forbidden for watch "
                                        "unless sendInitialEvents is provided");
                return 0;
        }
        if (isempty(match) || !streq(match, "NotOlderThan"))
                return list_options_refused(p, "FieldValueForbidden", "resourceVersionMatch",
                                "Forbidden: sendInitialEvents requires setting "
                                "resourceVersionMatch to NotOlderThan");
        w->initial = query_true(initial);
        w->announce_end = w->initial && w->bookmarks;
        return 0;
}

void verb_watch(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        struct watch_params *w = calloc(1, sizeof(*w));
        const char *version = request_query(request, "resourceVersion");
        int r;

        if (!w) {
                respond_errno(request, -ENOMEM);
                return;
        }
        w->state.free = params_free;
        request->state = &w->state;
        r = read_params(request, w, &p);
        if (r < 0)
                respond_error(request, r, &p);
        else if (isempty(version))
                request_freshen(request, watch_now); /* from the newest state on */
        else if (w->initial && w->revision > 0)
                request_wait_revision(request, w->revision, watch_now);
        else
                watch_now(request);
}
