/* Watches. A watcher reads the cache's window of changes at its own pace: it has a place in the
 * window and writes what comes after it while its connection takes it. So nothing is queued for a
 * slow reader beyond QUEUE_MAX bytes; when the window has moved past its place the connection is
 * broken, never a gap shown. What exists at the start is a vector of items read in the same way. */
#include "kapid/verbs/watch.h"

#include <inttypes.h>

#include "kapid/http/dispatch.h"
#include "kapid/cache/filled.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum {
        QUEUE_MAX = 8 * 1024 * 1024, /* one object more than the mark still fits */
        QUEUE_HIGH = 256 * 1024,     /* no more is written until it has drained */
        PUMP_MAX = 512,              /* events in one go: others want to be served too */
        BOOKMARK_US = 60 * 1000 * 1000,
        TIMEOUT_MIN_S = 1800,
        TIMEOUT_MAX_S = 24 * 3600,
};

struct watcher {
        struct api *api;
        struct cache_follower follower;
        struct kind *kind;
        struct selection selection;
        char *namespace;
        bool everything;
        enum form form;
        char form_version[8];
        enum table_include include;
        bool bookmarks;
        bool columns_sent;
        bool announce_end; /* of the initial events, by a bookmark */
        struct http_stream *stream;
        struct item **initial;
        size_t initial_count, initial_next;
        uint64_t place; /* number of the next change to look at */
        uint64_t after; /* changes up to this revision are known to the client */
        uint64_t sent;  /* the last revision it was told */
        sd_event_source *timeout, *bookmark, *more;
};

static const char *const words[] = {[WATCH_ADDED] = "ADDED",
                [WATCH_MODIFIED] = "MODIFIED",
                [WATCH_DELETED] = "DELETED"};

static struct watcher *watcher_free(struct watcher *w) {
        if (!w)
                return NULL;
        cache_unfollow(&w->follower);
        sd_event_source_disable_unref(w->timeout);
        sd_event_source_disable_unref(w->bookmark);
        sd_event_source_disable_unref(w->more);
        for (size_t i = w->initial_next; i < w->initial_count; i++)
                item_unref(w->initial[i]);
        free(w->initial);
        if (w->stream)
                w->api->streams--;
        selection_done(&w->selection);
        free(w->namespace);
        kind_unref(w->kind);
        return mfree(w);
}
DEFINE_CLEANUP(struct watcher *, watcher_free);

int watch_transition(const struct kind *k, const struct selection *s, const struct change *c,
                enum watch_event *ret_event, struct item **ret, struct item **ret_made) {
        bool was = c->before && selection_matches(k, s, c->before);
        bool is = c->after && selection_matches(k, s, c->after);

        *ret_event = WATCH_NONE;
        *ret_made = NULL;
        if (is) {
                *ret_event = was ? WATCH_MODIFIED : WATCH_ADDED;
                *ret = c->after;
        } else if (was) {
                *ret_event = WATCH_DELETED;
                *ret = c->gone;
                if (!c->gone) {
                        int r = item_at_revision(c->before, c->revision, ret_made);

                        if (r < 0)
                                return r;
                        *ret = *ret_made;
                }
        }
        return 0;
}

static struct bytes *line_of(const char *word, const char *text, size_t n) {
        _cleanup_buf_ struct buf b = {0};

        buf_printf(&b, "{\"type\":\"%s\",\"object\":", word);
        buf_append(&b, text, n);
        buf_append_str(&b, "}\n");
        return b.failed ? NULL : bytes_new(b.data, b.size);
}

static json_t *table_of(struct watcher *w, const json_t *object, const json_t *metadata) {
        json_t *table = table_new(w->kind, w->form_version, metadata, !w->columns_sent);

        w->columns_sent = true;
        if (table && object &&
                        table_add_row(table, w->kind, object, w->include, now_wall_us()) < 0) {
                json_decref(table);
                return NULL;
        }
        return table;
}

/* The line of an item in the watcher's own form. */
static struct bytes *line_formed(struct watcher *w, enum watch_event event, struct item *it) {
        _cleanup_json_ json_t *o = item_object(it), *v = NULL;
        _cleanup_free_ char *text = NULL;

        if (!o)
                return NULL;
        if (w->form == FORM_TABLE) {
                _cleanup_json_ json_t *metadata = json_pack("{ss}", "resourceVersion",
                                json_str_or(o, "metadata.resourceVersion", ""));

                v = table_of(w, o, metadata);
        } else if (w->form == FORM_PARTIAL) {
                v = partial_metadata(o, w->form_version);
        } else {
                v = json_deep_copy(o);
                if (v && kind_convert(w->kind, v) < 0)
                        return NULL;
        }
        text = v ? json_text(v) : NULL;
        return text ? line_of(words[event], text, strlen(text)) : NULL;
}

/* Plain lines are made once per change and shared by every watcher. */
static struct bytes *line_of_event(
                struct watcher *w, enum watch_event event, struct item *it, struct change *shared) {
        bool plain = w->form == FORM_OBJECT && streq(w->kind->version, w->kind->storage_version);
        struct bytes **slot = shared ? &shared->lines[event - 1] : NULL;
        struct bytes *line;

        it = item_for_kind(it, w->kind);
        if (!it)
                return NULL;
        if (!plain)
                return line_formed(w, event, it);
        if (slot && *slot)
                return bytes_ref(*slot);
        line = line_of(words[event], item_text(it)->data, item_text(it)->size);
        if (slot && line) {
                *slot = bytes_ref(line);
                cache_change_grew(w->follower.cache, shared, line->size);
        }
        return line;
}

/* Ends by breaking the connection: the reader must not take this for a clean end. */
static void watcher_break(struct watcher *w, const char *why) {
        log_debug("A watch of %s is broken off: %s", w->kind->plural, why);
        http_stream_abort(w->stream);
        watcher_free(w);
}

static struct bytes *bookmark_line(struct watcher *w, uint64_t revision, bool initial_end) {
        char number[24];
        _cleanup_json_ json_t *metadata = NULL, *v = NULL;
        _cleanup_free_ char *text = NULL;

        snprintf(number, sizeof(number), "%" PRIu64, revision);
        metadata = json_pack("{ss}", "resourceVersion", number);
        if (metadata && initial_end)
                json_object_set_new(metadata, "annotations",
                                json_pack("{ss}", "k8s.io/initial-events-end", "true"));
        if (!metadata)
                return NULL;
        if (w->form == FORM_TABLE)
                v = table_of(w, NULL, metadata);
        else
                v = json_pack("{ss, ss, sO}", "kind",
                                w->form == FORM_PARTIAL ? "PartialObjectMetadata" : w->kind->kind,
                                "apiVersion",
                                w->form == FORM_PARTIAL ? "meta.k8s.io/v1" : w->kind->api_version,
                                "metadata", metadata);
        text = v ? json_text(v) : NULL;
        return text ? line_of("BOOKMARK", text, strlen(text)) : NULL;
}

static int write_line(struct watcher *w, struct bytes *line) {
        int r = line ? http_stream_write(w->stream, line) : -ENOMEM;

        bytes_unref(line);
        if (r >= 0 && w->api->watch_events)
                metric_add(w->api->watch_events, 1);
        return r;
}

static int pump_initial(struct watcher *w) {
        while (w->initial_next < w->initial_count) {
                _cleanup_item_ struct item *it = NULL;
                int r;

                if (http_stream_queued(w->stream) > QUEUE_HIGH)
                        return 0;
                it = w->initial[w->initial_next++];
                r = write_line(w, line_of_event(w, WATCH_ADDED, it, NULL));
                if (r < 0)
                        return r;
        }
        w->initial = mfree(w->initial);
        w->initial_count = w->initial_next = 0;
        if (!w->announce_end)
                return 1;
        w->announce_end = false;
        w->sent = w->after;
        return write_line(w, bookmark_line(w, w->after, true)) < 0 ? -ENOBUFS : 1;
}

static int pump_change(struct watcher *w, struct change *c) {
        _cleanup_item_ struct item *made = NULL;
        enum watch_event event;
        struct item *it;
        int r;

        if (c->revision <= w->after)
                return 0;
        if (!c->after && !c->gone && c->before) {
                r = item_at_revision(c->before, c->revision, &c->gone);
                if (r < 0)
                        return r;
                cache_change_grew(w->follower.cache, c, item_text(c->gone)->size);
        }
        r = watch_transition(w->kind, &w->selection, c, &event, &it, &made);
        if (r < 0 || event == WATCH_NONE)
                return r;
        r = write_line(w, line_of_event(w, event, it, made ? NULL : c));
        w->sent = c->revision;
        return r;
}

static int pump(struct watcher *w);

static int on_more(sd_event_source *source, uint64_t usec, void *userdata) {
        struct watcher *w = userdata;

        w->more = sd_event_source_disable_unref(w->more);
        if (pump(w) < 0)
                watcher_break(w, "its reader is too slow");
        return 0;
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

/* Writes what there is as long as the connection takes it. Negative: it must be broken off. */
static int pump(struct watcher *w) {
        const struct cache *c = w->follower.cache;
        unsigned n = 0;
        int r;

        take_present_kind(w);
        if (w->initial || w->announce_end) {
                r = pump_initial(w);
                if (r <= 0)
                        return r;
        }
        while (c && w->place < cache_window_end(c)) {
                struct change *change = cache_change(c, w->place);

                if (!change)
                        return -ESTALE; /* the window has moved on */
                if (http_stream_queued(w->stream) > QUEUE_HIGH)
                        return 0;
                if (n++ == PUMP_MAX)
                        return w->more ? 0
                                       : sd_event_add_time_relative(w->api->event, &w->more,
                                                         CLOCK_MONOTONIC, 0, 0, on_more, w);
                r = pump_change(w, change);
                if (r < 0)
                        return r;
                w->place++;
        }
        return 0;
}

static void on_changes(struct cache_follower *f, bool lost) {
        struct watcher *w = container_of(f, struct watcher, follower);

        if (lost)
                watcher_break(w, "the store's history is gone");
        else if (pump(w) < 0)
                watcher_break(w, "its reader is too slow");
}

static void on_drained(struct http_stream *s, void *userdata) {
        struct watcher *w = userdata;

        if (pump(w) < 0)
                watcher_break(w, "its reader is too slow");
}

static void on_stream_gone(struct http_stream *s, void *userdata) {
        watcher_free(userdata);
}

/* Whether everything up to the caches' revision has been told. */
static bool is_current(struct watcher *w) {
        return !w->initial && w->follower.cache && w->place == cache_window_end(w->follower.cache);
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

static int take_initial(struct watcher *w, struct cache *c) {
        _cleanup_free_ char *prefix = selection_prefix(w->kind, &w->selection);
        size_t allocated = 0;

        if (!prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                if (!selection_matches(w->kind, &w->selection, it))
                        continue;
                if (w->initial_count == allocated) {
                        struct item **bigger;

                        allocated = allocated ? allocated * 2 : 64;
                        bigger = reallocarray(w->initial, allocated, sizeof(*bigger));
                        if (!bigger)
                                return -ENOMEM;
                        w->initial = bigger;
                }
                w->initial[w->initial_count++] = item_ref(it);
        }
        w->after = caches_revision(w->api->caches);
        w->place = cache_window_end(c);
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
        uint64_t revision;
        uint64_t timeout_s;
        bool initial; /* what exists comes first */
        bool announce_end;
        bool bookmarks;
};

static void params_free(void *p) {
        free(p);
}

static int start(struct request *r, const struct watch_params *params, struct problem *p) {
        _cleanup_(watcher_freep) struct watcher *w = calloc(1, sizeof(*w));
        int e;

        if (!w)
                return -ENOMEM;
        w->api = r->api;
        w->kind = kind_ref(r->kind);
        w->follower.func = on_changes;
        w->form = r->form;
        memcpy(w->form_version, r->form_version, sizeof(w->form_version));
        w->include = r->include;
        w->bookmarks = params->bookmarks;
        w->announce_end = params->announce_end;
        e = selection_parse(r, &w->selection, p);
        if (e < 0)
                return e;
        w->namespace = strdup(w->selection.namespace);
        if (!w->namespace)
                return -ENOMEM;
        w->selection.namespace = w->namespace;
        if (params->initial) {
                e = take_initial(w, r->cache);
        } else {
                w->after = params->revision;
                e = cache_window_after(r->cache, params->revision, &w->place);
                if (e == -ESTALE)
                        return problem_set(p, ESTALE, 410, "Expired",
                                        "too old resource version: %" PRIu64 " (%" PRIu64 ")",
                                        params->revision, caches_revision(r->api->caches));
        }
        if (e >= 0)
                e = set_timers(w, params->timeout_s);
        if (e < 0)
                return e;
        if (!dispatch_stream(r))
                return 0;
        cache_follow(r->cache, &w->follower);
        w->stream = respond_stream(r, "application/json", QUEUE_MAX, on_stream_gone, w);
        if (!w->stream)
                return 0;
        r->api->streams++;
        http_stream_on_drained(w->stream, on_drained, w);
        e = pump(w);
        if (e < 0)
                watcher_break(TAKE_PTR(w), "it could not be started");
        else
                (void)TAKE_PTR(w);
        return 0;
}

static void watch_now(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        int e = start(r, r->state, &p);

        if (e >= 0)
                return;
        if (p.code)
                respond_problem(r, &p);
        else
                respond_errno(r, e);
}

static int initial_refused(struct problem *p, const char *field, const char *text) {
        problem_set(p, EINVAL, 422, "Invalid", "watch options is invalid: %s: %s", field, text);
        problem_cause(p, "FieldValueForbidden", field, text);
        return -EINVAL;
}

static int read_params(struct request *r, struct watch_params *w, struct problem *p) {
        const char *version = request_query(r, "resourceVersion"),
                   *match = request_query(r, "resourceVersionMatch"),
                   *timeout = request_query(r, "timeoutSeconds"),
                   *initial = request_query(r, "sendInitialEvents");

        if (!isempty(version) && parse_u64(version, &w->revision) < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "resourceVersion: Invalid value: \"%.64s\"", version);
        w->timeout_s = TIMEOUT_MIN_S + random_below(TIMEOUT_MIN_S);
        if (!isempty(timeout) && parse_u64(timeout, &w->timeout_s) < 0)
                return problem_set(
                                p, EINVAL, 400, "BadRequest", "timeoutSeconds: must be a number");
        if (w->timeout_s == 0 || w->timeout_s > TIMEOUT_MAX_S)
                w->timeout_s = TIMEOUT_MIN_S + random_below(TIMEOUT_MIN_S);
        w->bookmarks = query_true(request_query(r, "allowWatchBookmarks"));
        w->initial = w->revision == 0;
        if (!initial) {
                if (!isempty(match))
                        return initial_refused(p, "resourceVersionMatch",
                                        "Forbidden: resourceVersionMatch is forbidden for watch "
                                        "unless sendInitialEvents is provided");
                return 0;
        }
        if (isempty(match) || !streq(match, "NotOlderThan"))
                return initial_refused(p, "resourceVersionMatch",
                                "Forbidden: sendInitialEvents requires setting "
                                "resourceVersionMatch to NotOlderThan");
        w->initial = query_true(initial);
        w->announce_end = w->initial && w->bookmarks;
        return 0;
}

void verb_watch(struct request *r) {
        _cleanup_problem_ struct problem p = {0};
        struct watch_params *w = calloc(1, sizeof(*w));
        const char *version = request_query(r, "resourceVersion");

        if (!w) {
                respond_errno(r, ENOMEM);
                return;
        }
        r->state = w;
        r->free_state = params_free;
        if (read_params(r, w, &p) < 0) {
                respond_problem(r, &p);
                return;
        }
        if (w->initial && isempty(version))
                request_freshen(r, watch_now); /* from the newest state on */
        else if (w->initial && w->revision > 0)
                request_wait_revision(r, w->revision, watch_now);
        else
                watch_now(r);
}
