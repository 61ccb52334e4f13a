/* Synced watchers of a single key are found by hash, those of a range by walking their list. The
 * events of a watcher are gathered in its own buffer and sent at the end of the loop's turn, never
 * cutting a revision in two (unless the client asked for fragments). */
#include "kstored/mvcc/watch.h"

#include <sys/queue.h>
#include <uthash.h>

#include "kstored/raft/bugs.h"
#include "lib/vector.h"

enum { PROGRESS_WANTED_MAX = 1000, SCRATCH_KEPT = 64 * 1024 };

struct key_watchers;

struct watcher {
        int64_t id;
        struct watch_stream *stream;
        unsigned flags;
        bool synced;
        bool dirty;
        bool sent;         /* events since the last progress round */
        int64_t next_rev;  /* the first revision that it lacks */
        int64_t first_rev; /* of the first event gathered and not sent */
        int64_t last_rev;  /* of the last event gathered */
        struct buf events;
        struct key_watchers *of_key; /* synced and single */
        TAILQ_ENTRY(watcher) link;   /* in the key's, the ranges' or the unsynced list */
        TAILQ_ENTRY(watcher) dirty_link;
        UT_hash_handle hh;
        size_t key_size, end_size;
        char bytes[];
};

TAILQ_HEAD(watcher_list, watcher);

struct key_watchers {
        struct watcher_list list;
        UT_hash_handle hh;
        size_t size;
        char key[];
};

struct watch_stream {
        struct hub *hub;
        struct watch_sink sink;
        struct watcher *watchers;
        int64_t next_id;
        size_t gathered;          /* bytes in the buffers of its watchers */
        bool full;                /* its queue has not come down since it was too long */
        unsigned progress_wanted; /* answers that are due once all its watchers are caught up */
        LIST_ENTRY(watch_stream) link;
};

struct hub {
        struct mvcc *mvcc;
        size_t fragment_bytes;
        struct watch_header header;
        struct key_watchers *keys;
        struct watcher_list ranges;
        struct watcher_list unsynced;
        struct watcher_list dirty;
        LIST_HEAD(, watch_stream) streams;
        size_t count;
        struct buf scratch;
        struct buf event; /* the current row, encoded once */
        struct buf event_prev;
};

int hub_new(struct hub **ret, struct mvcc *mvcc, size_t fragment_bytes) {
        struct hub *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        h->mvcc = mvcc;
        h->fragment_bytes = fragment_bytes;
        TAILQ_INIT(&h->ranges);
        TAILQ_INIT(&h->unsynced);
        TAILQ_INIT(&h->dirty);
        LIST_INIT(&h->streams);
        *ret = h;
        return 0;
}

struct hub *hub_free(struct hub *h) {
        if (!h)
                return NULL;
        assert(LIST_EMPTY(&h->streams));
        assert(h->count == 0 && !h->keys && TAILQ_EMPTY(&h->dirty));
        buf_done(&h->scratch);
        buf_done(&h->event);
        buf_done(&h->event_prev);
        free(h);
        return NULL;
}

void hub_set_header(struct hub *h, const struct watch_header *header) {
        h->header = *header;
}

size_t hub_watcher_count(const struct hub *h) {
        return h->count;
}

static struct key_range watcher_range(const struct watcher *w) {
        return (struct key_range){.key = w->bytes,
                        .key_size = w->key_size,
                        .end = w->bytes + w->key_size,
                        .end_size = w->end_size};
}

static void unlink_watcher(struct watcher *w) {
        struct hub *h = w->stream->hub;

        assert(w->synced || !w->of_key);
        if (!w->synced)
                TAILQ_REMOVE(&h->unsynced, w, link);
        else if (w->of_key) {
                assert(w->end_size == 0 && !TAILQ_EMPTY(&w->of_key->list));
                TAILQ_REMOVE(&w->of_key->list, w, link);
                if (TAILQ_EMPTY(&w->of_key->list)) {
                        HASH_DEL(h->keys, w->of_key);
                        free(w->of_key);
                }
                w->of_key = NULL;
        } else
                TAILQ_REMOVE(&h->ranges, w, link);
}

/* It has everything before from_rev. */
static void make_unsynced(struct watcher *w, int64_t from_rev) {
        assert(w->synced);
        w->next_rev = MAX(w->next_rev, from_rev);
        unlink_watcher(w);
        assert(!w->of_key);
        w->synced = false;
        TAILQ_INSERT_TAIL(&w->stream->hub->unsynced, w, link);
}

void hub_restore(struct hub *h, struct mvcc *mvcc, int64_t had_rev) {
        struct watch_stream *s;
        struct watcher *w, *next;

        h->mvcc = mvcc;
        LIST_FOREACH(s, &h->streams, link) {
                HASH_ITER(hh, s->watchers, w, next) {
                        /* One that waits for a later revision has missed nothing yet. */
                        if (w->synced && MAX(w->next_rev, had_rev + 1) <= mvcc_rev(mvcc) &&
                                        !bug(BUG_WATCH_RESTORE))
                                make_unsynced(w, had_rev + 1);
                }
        }
}

/* Links a watcher that is in no list; -ENOMEM leaves it unsynced, which is never wrong. */
static void link_synced(struct watcher *w) {
        struct hub *h = w->stream->hub;
        struct key_watchers *k = NULL;

        assert(!w->of_key);
        w->synced = true;
        if (w->end_size > 0) {
                TAILQ_INSERT_TAIL(&h->ranges, w, link);
                return;
        }
        HASH_FIND(hh, h->keys, w->bytes, w->key_size, k);
        if (!k) {
                k = calloc(1, sizeof(*k) + w->key_size);
                if (!k) {
                        w->synced = false;
                        TAILQ_INSERT_TAIL(&h->unsynced, w, link);
                        return;
                }
                TAILQ_INIT(&k->list);
                k->size = w->key_size;
                memcpy(k->key, w->bytes, w->key_size);
                HASH_ADD_KEYPTR(hh, h->keys, k->key, k->size, k);
        }
        w->of_key = k;
        TAILQ_INSERT_TAIL(&k->list, w, link);
}

static void forget_events(struct watcher *w) {
        assert(w->stream->gathered >= w->events.size);
        w->stream->gathered -= w->events.size;
        buf_done(&w->events);
        w->events = (struct buf){0};
}

static void watcher_free(struct watcher *w) {
        struct hub *h = w->stream->hub;

        assert(h->count > 0);
        unlink_watcher(w);
        assert(!w->of_key);
        if (w->dirty)
                TAILQ_REMOVE(&h->dirty, w, dirty_link);
        HASH_DEL(w->stream->watchers, w);
        forget_events(w);
        h->count--;
        free(w);
}

int watch_stream_new(struct watch_stream **ret, struct hub *h, const struct watch_sink *sink) {
        struct watch_stream *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->hub = h;
        s->sink = *sink;
        LIST_INSERT_HEAD(&h->streams, s, link);
        *ret = s;
        return 0;
}

struct watch_stream *watch_stream_free(struct watch_stream *s) {
        struct watcher *w, *next;

        if (!s)
                return NULL;
        HASH_ITER(hh, s->watchers, w, next)
        watcher_free(w);
        assert(!s->watchers && s->gathered == 0);
        LIST_REMOVE(s, link);
        free(s);
        return NULL;
}

size_t watch_stream_count(const struct watch_stream *s) {
        return HASH_COUNT(s->watchers);
}

static void response_begin_at(struct hub *h, int64_t id, int64_t rev) {
        size_t mark;

        buf_reset(&h->scratch);
        mark = wire_begin(&h->scratch, 1);
        wire_uint(&h->scratch, 1, h->header.cluster_id);
        wire_uint(&h->scratch, 2, h->header.member_id);
        wire_uint(&h->scratch, 3, (uint64_t)rev);
        wire_uint(&h->scratch, 4, h->header.term);
        wire_end(&h->scratch, mark);
        wire_uint(&h->scratch, 2, (uint64_t)id);
}

static void response_begin(struct hub *h, int64_t id) {
        response_begin_at(h, id, mvcc_rev(h->mvcc));
}

static int response_send(struct watch_stream *s) {
        struct buf *b = &s->hub->scratch;

        if (b->failed) {
                buf_done(b);
                *b = (struct buf){0};
                return -ENOMEM;
        }
        return s->sink.send(s->sink.userdata, b->data, b->size);
}

static int send_canceled(struct watch_stream *s, int64_t id, int64_t compact_rev,
                const char *reason, bool created) {
        struct hub *h = s->hub;

        /* As etcd: a compaction cancel carries no current revision. */
        response_begin_at(h, id, compact_rev != 0 ? 0 : mvcc_rev(h->mvcc));
        wire_bool(&h->scratch, 3, created);
        wire_bool(&h->scratch, 4, true);
        wire_uint(&h->scratch, 5, (uint64_t)compact_rev);
        wire_string(&h->scratch, 6, reason);
        return response_send(s);
}

/* The size of the first event (field 11, length-delimited) in the bytes. */
static size_t event_size(const char *p, size_t n) {
        uint64_t size = 0;
        size_t at = 1;

        for (unsigned shift = 0; at < n; shift += 7) {
                uint8_t b = (uint8_t)p[at++];

                size |= (uint64_t)(b & 0x7f) << shift;
                if (!(b & 0x80))
                        break;
        }
        return MIN(at + size, n);
}

static int send_fragments(struct watcher *w) {
        struct hub *h = w->stream->hub;
        size_t at = 0;

        while (at < w->events.size) {
                size_t n = 0;
                int r;

                while (at + n < w->events.size) {
                        size_t one = event_size(w->events.data + at + n, w->events.size - at - n);

                        if (n > 0 && n + one > h->fragment_bytes)
                                break;
                        n += one;
                }
                response_begin(h, w->id);
                wire_bool(&h->scratch, 7, at + n < w->events.size);
                (void)buf_append(&h->scratch, w->events.data + at, n);
                r = response_send(w->stream);
                if (r < 0)
                        return r;
                at += n;
        }
        return 0;
}

static void send_events(struct watcher *w) {
        struct hub *h = w->stream->hub;

        if (w->dirty) {
                TAILQ_REMOVE(&h->dirty, w, dirty_link);
                w->dirty = false;
        }
        if (w->events.failed) {
                /* No memory for them now: they are read again from the table. */
                forget_events(w);
                if (w->synced)
                        make_unsynced(w, w->first_rev);
                return;
        }
        if (w->events.size == 0)
                return;
        assert(w->last_rev >= w->first_rev);
        if ((w->flags & WATCH_FRAGMENT) && w->events.size > h->fragment_bytes)
                (void)send_fragments(w);
        else {
                response_begin(h, w->id);
                (void)buf_append(&h->scratch, w->events.data, w->events.size);
                (void)response_send(w->stream);
        }
        w->sent = true;
        w->next_rev = MAX(w->next_rev, w->last_rev + 1);
        forget_events(w);
}

/* Whether its watchers have to wait, because its client does not read. */
static bool blocked(struct watch_stream *s) {
        size_t n = s->sink.queued(s->sink.userdata) + s->gathered;

        if (n > WATCH_QUEUED_MAX)
                s->full = true;
        else if (n <= WATCH_QUEUED_LOW)
                s->full = false;
        return s->full;
}

/* Forgets the encoding of the row before. */
static void event_reset(struct hub *h) {
        buf_reset(&h->event);
        buf_reset(&h->event_prev);
}

static int encode_event(struct hub *h, struct watcher *w, const struct row *row, struct buf **ret) {
        /* A created key has no previous value, even where the same revision deleted it. */
        bool with = (w->flags & WATCH_PREV_KV) && row->version != 1;
        struct buf *b = with ? &h->event_prev : &h->event;
        int r = 0;

        if (b->size == 0) {
                _cleanup_row_ struct row *prev = NULL;

                if (with)
                        r = mvcc_previous(h->mvcc, row, &prev);
                if (r < 0)
                        return r;
                wire_event(b, 11, row, prev);
                if (b->failed) {
                        buf_done(b);
                        *b = (struct buf){0};
                        return -ENOMEM;
                }
        }
        *ret = b;
        return 0;
}

/* Gathers one change for a watcher whose range it is in. */
static int gather(struct watcher *w, const struct row *row) {
        struct hub *h = w->stream->hub;
        struct buf *event;
        size_t n;
        int r;

        assert(w->dirty || w->events.size == 0); /* only those in the dirty list are sent */
        if (row->rev + bug(BUG_WATCH_TWICE) < w->next_rev ||
                        (w->flags & (row->version == 0 ? WATCH_NO_DELETE : WATCH_NO_PUT)))
                return 0;
        if (w->events.size > WATCH_BATCH_BYTES && row->rev != w->last_rev)
                send_events(w);
        r = encode_event(h, w, row, &event);
        if (r < 0)
                return r;
        if (!w->dirty)
                w->first_rev = row->rev;
        n = w->events.size;
        (void)buf_append(&w->events, event->data, event->size);
        w->stream->gathered += w->events.size - n;
        w->last_rev = row->rev;
        if (!w->dirty) {
                w->dirty = true;
                TAILQ_INSERT_TAIL(&h->dirty, w, dirty_link);
        }
        return 0;
}

/* A synced watcher; one whose stream is full, or whose row cannot be read, catches up later. */
static void notify_one(struct watcher *w, const struct row *row) {
        int r;

        assert(w->synced);
        if (row->rev < w->next_rev)
                return;
        if (blocked(w->stream)) {
                /* All of one revision or nothing of it. */
                if (w->last_rev != row->rev) {
                        send_events(w);
                        if (w->synced)
                                make_unsynced(w, row->rev);
                        return;
                }
        }
        r = gather(w, row);
        if (r < 0) {
                forget_events(w);
                if (w->synced)
                        make_unsynced(w, w->dirty ? w->first_rev : row->rev);
        }
}

int hub_notify(struct hub *h, struct row *const *rows, size_t n) {
        for (size_t i = 0; i < n; i++) {
                struct key_watchers *k = NULL;
                struct watcher *w, *next;

                event_reset(h);
                HASH_FIND(hh, h->keys, rows[i]->data, rows[i]->key_size, k);
                for (w = k ? TAILQ_FIRST(&k->list) : NULL; w; w = next) {
                        next = TAILQ_NEXT(w, link);
                        notify_one(w, rows[i]);
                }
                for (w = TAILQ_FIRST(&h->ranges); w; w = next) {
                        struct key_range range = watcher_range(w);

                        next = TAILQ_NEXT(w, link);
                        if (key_in_range(&range, rows[i]->data, rows[i]->key_size))
                                notify_one(w, rows[i]);
                }
        }
        return 0;
}

static bool stream_caught_up(const struct watch_stream *s) {
        for (const struct watcher *w = s->watchers; w; w = w->hh.next)
                if (!w->synced || w->dirty)
                        return false;
        return true;
}

/* One large event must not keep its memory. */
static void trim_scratch(struct hub *h) {
        struct buf *all[] = {&h->scratch, &h->event, &h->event_prev};

        for (size_t i = 0; i < ELEMENTS(all); i++)
                if (all[i]->allocated > SCRATCH_KEPT)
                        buf_done(all[i]);
}

void hub_flush(struct hub *h) {
        struct watcher *w;
        struct watch_stream *s, *next;

        while ((w = TAILQ_FIRST(&h->dirty)))
                send_events(w);
        trim_scratch(h);
        for (s = LIST_FIRST(&h->streams); s; s = next) {
                next = LIST_NEXT(s, link);
                if (s->progress_wanted == 0 || !stream_caught_up(s))
                        continue;
                for (; s->progress_wanted > 0; s->progress_wanted--) {
                        response_begin(h, -1);
                        (void)response_send(s);
                }
        }
}

static bool id_taken(struct watch_stream *s, int64_t id) {
        struct watcher *w;

        HASH_FIND(hh, s->watchers, &id, sizeof(id), w);
        return w;
}

int watch_create(struct watch_stream *s, const struct key_range *range, int64_t start, int64_t id,
                unsigned flags) {
        struct hub *h = s->hub;
        struct watcher *w;
        bool single = key_range_is_single(range);
        int r;

        if (!single && !(range->end_size == 1 && range->end[0] == 0) &&
                        key_compare(range->key, range->key_size, range->end, range->end_size) >= 0)
                return send_canceled(s, -1, 0, "mvcc: watcher range is empty", true);
        if (id != 0 && id_taken(s, id))
                return send_canceled(s, -1, 0,
                                "mvcc: duplicate watch ID provided on the WatchStream", true);
        if (HASH_COUNT(s->watchers) >= WATCH_STREAM_WATCHERS_MAX)
                return send_canceled(s, -1, 0, "etcdserver: too many requests", true);
        while (id == 0) {
                if (!id_taken(s, s->next_id)) {
                        id = s->next_id++;
                        break;
                }
                s->next_id++;
        }
        w = calloc(1, sizeof(*w) + range->key_size + range->end_size);
        if (!w)
                return -ENOMEM;
        w->id = id;
        w->stream = s;
        w->flags = flags;
        w->key_size = range->key_size;
        w->end_size = range->end_size;
        memcpy(w->bytes, range->key, range->key_size);
        if (range->end_size > 0)
                memcpy(w->bytes + range->key_size, range->end, range->end_size);
        w->next_rev = start > 0 ? start : mvcc_rev(h->mvcc) + 1;
        HASH_ADD(hh, s->watchers, id, sizeof(w->id), w);
        h->count++;
        if (w->next_rev > mvcc_rev(h->mvcc))
                link_synced(w);
        else
                TAILQ_INSERT_TAIL(&h->unsynced, w, link);
        response_begin(h, id);
        wire_bool(&h->scratch, 3, true);
        r = response_send(s);
        return r;
}

int watch_cancel(struct watch_stream *s, int64_t id) {
        struct watcher *w;

        HASH_FIND(hh, s->watchers, &id, sizeof(id), w);
        if (!w)
                return 0;
        send_events(w);
        watcher_free(w);
        return send_canceled(s, id, 0, NULL, false);
}

int watch_progress(struct watch_stream *s) {
        if (s->progress_wanted < PROGRESS_WANTED_MAX)
                s->progress_wanted++;
        return 0;
}

/* The lowest revision that an unsynced watcher with room waits for; cancels those that ask for
 * compacted revisions. INT64_MAX when none. */
static int64_t lowest_wanted(struct hub *h) {
        int64_t lowest = INT64_MAX, compact = mvcc_compact_rev(h->mvcc);
        struct watcher *w, *next;

        for (w = TAILQ_FIRST(&h->unsynced); w; w = next) {
                next = TAILQ_NEXT(w, link);
                if (w->next_rev < compact && bug(BUG_WATCH_GAP))
                        w->next_rev = compact + 1;
                if (w->next_rev < compact) {
                        struct watch_stream *s = w->stream;
                        int64_t id = w->id;

                        watcher_free(w);
                        (void)send_canceled(s, id, compact, NULL, false);
                        continue;
                }
                if (!blocked(w->stream))
                        lowest = MIN(lowest, w->next_rev);
        }
        return lowest;
}

struct row_batch {
        VECTOR(struct row *) rows;
        size_t bytes;
};

static void batch_cut(struct row_batch *b, size_t keep) {
        while (b->rows.count > keep)
                row_unref(b->rows.items[--b->rows.count]);
}

static void batch_done(struct row_batch *b) {
        batch_cut(b, 0);
        vector_done(&b->rows);
}

/* n more rows from seq on; returns how many there were. */
static int batch_read(struct row_batch *b, struct mvcc *m, int64_t seq, size_t n) {
        int got;

        if (vector_reserve(&b->rows, n) < 0)
                return -ENOMEM;
        got = mvcc_scan(m, seq, n, b->rows.items + b->rows.count);
        assert(got <= (int)n);
        for (int i = 0; i < got; i++)
                b->bytes += row_bytes(b->rows.items[b->rows.count++]);
        return got;
}

/* Reads whole revisions from rev on, few rows at a time, for they may be large. ret_upto: up to
 * which revision they are complete. */
static int read_revisions(struct hub *h, int64_t rev, struct row_batch *b, int64_t *ret_upto) {
        int64_t seq;
        int r = mvcc_find_rev(h->mvcc, rev, &seq);

        if (r < 0)
                return r;
        for (size_t n = 4;; n = MIN(2 * n, (size_t)WATCH_SCAN_ROWS / 4)) {
                size_t keep;

                r = batch_read(b, h->mvcc, seq, n);
                if (r < 0)
                        return r;
                if ((size_t)r < n) {
                        *ret_upto = mvcc_rev(h->mvcc);
                        return 0;
                }
                seq = b->rows.items[b->rows.count - 1]->seq + 1;
                if (b->rows.count < WATCH_SCAN_ROWS && b->bytes < WATCH_SCAN_BYTES)
                        continue;
                keep = b->rows.count;
                while (keep > 0 && b->rows.items[keep - 1]->rev ==
                                                   b->rows.items[b->rows.count - 1]->rev)
                        keep--;
                if (keep == 0)
                        continue; /* one revision bigger than the batch */
                assert(keep < b->rows.count);
                *ret_upto = b->rows.items[b->rows.count - 1]->rev - 1;
                batch_cut(b, keep);
                return 0;
        }
}

static void catch_up(struct watcher *w, const struct row_batch *b, int64_t upto) {
        struct hub *h = w->stream->hub;
        struct key_range range = watcher_range(w);

        assert(!w->synced && !w->of_key);
        for (size_t i = 0; i < b->rows.count; i++) {
                const struct row *row = b->rows.items[i];

                if (row->rev + bug(BUG_WATCH_TWICE) < w->next_rev ||
                                !key_in_range(&range, row->data, row->key_size))
                        continue;
                /* Between two revisions it may wait; the values before these are not counted. */
                if (row->rev != w->last_rev && blocked(w->stream)) {
                        send_events(w);
                        w->next_rev = MAX(w->next_rev, row->rev);
                        return;
                }
                event_reset(h);
                if (gather(w, row) < 0) {
                        /* Again from the last event that was sent. */
                        forget_events(w);
                        return;
                }
        }
        send_events(w);
        w->next_rev = MAX(w->next_rev, upto + 1);
        if (upto >= mvcc_rev(h->mvcc)) {
                TAILQ_REMOVE(&h->unsynced, w, link);
                link_synced(w);
        }
}

bool hub_lags(const struct hub *h) {
        return !TAILQ_EMPTY(&h->unsynced);
}

int hub_sync_step(struct hub *h) {
        _cleanup_(batch_done) struct row_batch b = {0};
        struct watcher *w, *last, *next;
        int64_t lowest, upto = 0;
        size_t work = 0;
        int r;

        lowest = lowest_wanted(h);
        if (lowest == INT64_MAX)
                return 0;
        last = TAILQ_LAST(&h->unsynced, watcher_list);
        r = read_revisions(h, lowest, &b, &upto);
        if (r < 0)
                return r;
        for (w = TAILQ_FIRST(&h->unsynced); w && work < WATCH_SYNC_WORK; w = next) {
                bool end = w == last;

                next = TAILQ_NEXT(w, link);
                /* To the end of the list: those not reached in this step come first in the next. */
                TAILQ_REMOVE(&h->unsynced, w, link);
                TAILQ_INSERT_TAIL(&h->unsynced, w, link);
                if (w->next_rev <= upto + 1 && !blocked(w->stream)) {
                        work += b.rows.count;
                        catch_up(w, &b, upto);
                }
                work++;
                if (end)
                        break;
        }
        return !TAILQ_EMPTY(&h->unsynced);
}

void hub_progress(struct hub *h) {
        struct watch_stream *s;

        LIST_FOREACH(s, &h->streams, link) {
                for (struct watcher *w = s->watchers; w; w = w->hh.next) {
                        if ((w->flags & WATCH_PROGRESS) && w->synced && !w->dirty && !w->sent) {
                                response_begin(h, w->id);
                                (void)response_send(s);
                        }
                        w->sent = false;
                }
        }
}
