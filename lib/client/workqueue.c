/* Work queue. A name is in one of these states:
 *
 *      absent --add--> queued --dispatch--> processing --done--> absent
 *                        ^                     | add: dirty
 *                        '------ done, dirty --'
 *
 * and beside it may wait on a timer (add_after, back-off) that adds it again. A name's record lives
 * as long as one of those holds or it has failures to remember. Work is started in turns of
 * the loop, so that workqueue_add() never calls back into the caller. */
#include "lib/client/workqueue.h"

#include <sys/queue.h>

#include "lib/client/workqueue-metrics.h"
#include "lib/loop-turn.h"
#include "lib/map.h"
#include "lib/random.h"
#include "lib/timefmt.h"

enum { PARALLEL_DEFAULT = 16, FAILURES_SHIFT_MAX = 30 };

struct item {
        TAILQ_ENTRY(item) link;
        struct workqueue *queue;
        sd_event_source *timer;
        uint64_t due_us, since_us; /* of the timer; in the queue or at work since */
        unsigned failures;
        bool queued, processing, dirty;
        char name[];
};

struct workqueue {
        sd_event *event;
        struct loop_turn *dispatch;
        struct workqueue_options options;
        struct workqueue_metrics metrics;
        struct map *items;
        TAILQ_HEAD(, item) ready;
        size_t ready_count;
        unsigned processing;
        bool paused;
};

static void item_free(void *p) {
        struct item *i = p;

        sd_event_source_disable_unref(i->timer);
        free(i);
}

static void wake(struct workqueue *q) {
        if (!q->paused && q->ready_count > 0 && q->processing < q->options.parallel_max)
                loop_turn_ask(q->dispatch);
}

static double seconds(uint64_t begin_us, uint64_t end_us) {
        return (double)(end_us - MIN(begin_us, end_us)) / 1e6;
}

/* The age of what is being worked on. */
static void on_render(void *userdata) {
        struct workqueue *q = userdata;
        uint64_t now = now_mono_us();
        double sum = 0, longest = 0;

        map_foreach (q->items, e) {
                const struct item *i = map_entry_value(e);
                double age = i->processing ? seconds(i->since_us, now) : 0;

                sum += age;
                longest = MAX(longest, age);
        }
        metric_set(q->metrics.unfinished, sum);
        metric_set(q->metrics.longest, longest);
}

static int start_counting(struct workqueue *q) {
        if (!q->options.metrics)
                return 0;
        int r = workqueue_metrics_make(q->options.metrics, q->options.name, &q->metrics);

        return r < 0 ? r : metrics_on_render(q->options.metrics, on_render, q);
}

static void on_dispatch(void *userdata) {
        struct workqueue *q = userdata;
        struct item *i = TAILQ_FIRST(&q->ready);

        /* One name a turn: the loop gets to look at sockets and timers in between. */
        if (q->paused || !i || q->processing >= q->options.parallel_max)
                return;
        uint64_t now = now_mono_us();
        TAILQ_REMOVE(&q->ready, i, link);
        q->ready_count--;
        metric_set(q->metrics.depth, (double)q->ready_count);
        metric_observe(q->metrics.waited, seconds(i->since_us, now));
        i->since_us = now;
        i->queued = false;
        i->processing = true;
        q->processing++;
        q->options.work(q, i->name, q->options.userdata);
        wake(q);
}

int workqueue_new(
                struct workqueue **ret, sd_event *event, const struct workqueue_options *options) {
        _cleanup_(workqueue_freep) struct workqueue *q = calloc(1, sizeof(*q));
        int r;

        if (!q)
                return -ENOMEM;
        TAILQ_INIT(&q->ready);
        q->options = *options;
        if (q->options.backoff_min_us == 0)
                q->options.backoff_min_us = 5000;
        if (q->options.backoff_max_us == 0)
                q->options.backoff_max_us = 60 * UINT64_C(1000000);
        if (q->options.parallel_max == 0)
                q->options.parallel_max = PARALLEL_DEFAULT;
        q->event = sd_event_ref(event);
        q->items = map_new(item_free);
        if (!q->items)
                return -ENOMEM;
        r = start_counting(q);
        if (r < 0)
                return r;
        /* Behind I/O: what has arrived is in the caches before work is planned on them. */
        r = loop_turn_new(&q->dispatch, event, SD_EVENT_PRIORITY_NORMAL + 10, on_dispatch, q);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(q);
        return 0;
}

struct workqueue *workqueue_free(struct workqueue *q) {
        if (!q)
                return NULL;
        if (q->options.metrics)
                metrics_off_render(q->options.metrics, on_render, q);
        loop_turn_free(q->dispatch);
        map_free(q->items);
        sd_event_unref(q->event);
        free(q);
        return NULL;
}

static struct item *item_get(struct workqueue *q, const char *name) {
        struct item *i = map_get(q->items, name);
        size_t n = strlen(name) + 1;

        if (i)
                return i;
        i = calloc(1, sizeof(*i) + n);
        if (!i)
                return NULL;
        i->queue = q;
        memcpy(i->name, name, n);
        if (map_set(q->items, name, i) < 0)
                return mfree(i);
        return i;
}

static void item_maybe_drop(struct workqueue *q, struct item *i) {
        if (!i->queued && !i->processing && !i->timer && i->failures == 0)
                map_remove(q->items, i->name);
}

static void queue_now(struct workqueue *q, struct item *i) {
        i->queued = true;
        i->since_us = now_mono_us();
        TAILQ_INSERT_TAIL(&q->ready, i, link);
        q->ready_count++;
        metric_set(q->metrics.depth, (double)q->ready_count);
        wake(q);
}

static void item_queue(struct workqueue *q, struct item *i) {
        if (i->queued || i->dirty)
                return;
        metric_add(q->metrics.adds, 1);
        if (i->processing) {
                i->dirty = true;
                return;
        }
        queue_now(q, i);
}

void workqueue_add(struct workqueue *q, const char *name) {
        struct item *i = item_get(q, name);

        /* Out of memory here would lose the name for good, and the caller could do nothing. */
        assert(i);
        item_queue(q, i);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct item *i = userdata;

        i->timer = sd_event_source_disable_unref(i->timer);
        item_queue(i->queue, i);
        return 0;
}

void workqueue_add_after(struct workqueue *q, const char *name, uint64_t delay_us) {
        struct item *i = item_get(q, name);
        uint64_t now;
        int r;

        assert(i);
        if (delay_us == 0) {
                item_queue(q, i);
                return;
        }
        if (sd_event_now(q->event, CLOCK_MONOTONIC, &now) < 0)
                now = 0;
        if (i->timer && i->due_us <= now + delay_us)
                return;
        i->timer = sd_event_source_disable_unref(i->timer);
        i->due_us = now + delay_us;
        /* Slack of a tenth lets the kernel join wake-ups. */
        r = sd_event_add_time_relative(q->event, &i->timer, CLOCK_MONOTONIC, delay_us,
                        MAX(delay_us / 10, UINT64_C(1000)), on_timer, i);
        if (r < 0) /* better too early than never */
                item_queue(q, i);
}

static uint64_t backoff(const struct workqueue *q, unsigned failures) {
        uint64_t d = q->options.backoff_min_us << MIN(failures - 1, (unsigned)FAILURES_SHIFT_MAX);

        d = MIN(d, q->options.backoff_max_us);
        return d - d / 4 + random_below(d / 4 + 1);
}

void workqueue_done(struct workqueue *q, const char *name, int error, uint64_t requeue_after_us) {
        struct item *i = map_get(q->items, name);

        assert(i && i->processing);
        i->processing = false;
        q->processing--;
        metric_observe(q->metrics.worked, seconds(i->since_us, now_mono_us()));
        metric_add(q->metrics.retries, error < 0);
        i->failures = error < 0 ? MIN(i->failures + 1, (unsigned)FAILURES_SHIFT_MAX) : 0;
        if (i->dirty) {
                i->dirty = false;
                queue_now(q, i);
        }
        if (error < 0)
                workqueue_add_after(q, i->name, backoff(q, i->failures));
        else if (requeue_after_us > 0)
                workqueue_add_after(q, i->name, requeue_after_us);
        item_maybe_drop(q, i);
        wake(q);
}

size_t workqueue_depth(const struct workqueue *q) {
        return q->ready_count;
}

void workqueue_set_paused(struct workqueue *q, bool paused) {
        q->paused = paused;
        wake(q);
}
