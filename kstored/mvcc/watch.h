/* Watches: each watcher receives the changes of its range in order, without loss or repetition. A
 * watcher is synced when it has everything up to the current revision and receives changes as they
 * happen; otherwise it catches up from the table in batches. A stream that does not drain makes its
 * watchers unsynced instead of making the store hold their events. */
#pragma once

#include "kstored/mvcc/mvcc.h"
#include "kstored/state/wire.h"

struct hub;
struct watch_stream;

enum {
        WATCH_QUEUED_MAX = 192 * 1024, /* more in a stream's queue: its watchers wait ... */
        WATCH_QUEUED_LOW = 64 * 1024,  /* ... until it is down to this */
        WATCH_BATCH_BYTES = 64 * 1024, /* a response is sent when it grew this far */
        WATCH_SCAN_ROWS = 1000,        /* of the table in one step, or ... */
        WATCH_SCAN_BYTES = 512 * 1024,
        WATCH_SYNC_WORK = 20000, /* rows looked at for watchers that catch up, in one step */
        WATCH_STREAM_WATCHERS_MAX = 100000,
};

/* Where a stream's responses go. */
struct watch_sink {
        int (*send)(void *userdata, const void *data, size_t n); /* <0: the stream is ending */
        size_t (*queued)(void *userdata);
        void *userdata;
};

struct watch_header {
        uint64_t cluster_id;
        uint64_t member_id;
        uint64_t term;
};

enum watch_flags {
        WATCH_PREV_KV = 1,
        WATCH_NO_PUT = 2,
        WATCH_NO_DELETE = 4,
        WATCH_PROGRESS = 8,
        WATCH_FRAGMENT = 16,
};

int hub_new(struct hub **ret, struct mvcc *mvcc, size_t fragment_bytes);
struct hub *hub_free(struct hub *h); /* the streams must be gone */
DEFINE_CLEANUP(struct hub *, hub_free);
void hub_set_header(struct hub *h, const struct watch_header *header);

/* The store, which was at revision had_rev, was replaced by a newer one: watchers receive what they
 * miss from it. Before it: hub_flush(). */
void hub_restore(struct hub *h, struct mvcc *mvcc, int64_t had_rev);

int watch_stream_new(struct watch_stream **ret, struct hub *h, const struct watch_sink *sink);
struct watch_stream *watch_stream_free(struct watch_stream *s);
size_t watch_stream_count(const struct watch_stream *s);

/* Each answers on the stream itself. id 0: the hub picks one. start 0: from the next revision on.
 */
int watch_create(struct watch_stream *s, const struct key_range *range, int64_t start, int64_t id,
                unsigned flags);
int watch_cancel(struct watch_stream *s, int64_t id);
int watch_progress(struct watch_stream *s);

/* Changes in order, whole revisions; mvcc has them already. */
int hub_notify(struct hub *h, struct row *const *rows, size_t n);
/* Sends what was gathered. */
void hub_flush(struct hub *h);
/* Lets watchers that lag catch up by one batch: 1 when there is more to do now, 0 when not. */
int hub_sync_step(struct hub *h);
/* Whether some watcher lacks changes. */
bool hub_lags(const struct hub *h);
/* Sends the current revision to idle watchers that asked for it. */
void hub_progress(struct hub *h);
size_t hub_watcher_count(const struct hub *h);
