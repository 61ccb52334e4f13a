/* A work queue of names: duplicates collapse, one worker a name at a time, failures come back with
 * exponential back-off per name (client-go's dirty and processing sets). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/metrics.h"

struct workqueue;
struct workqueue_options {
        uint64_t backoff_min_us; /* 0: 5 ms */
        uint64_t backoff_max_us; /* 0: 60 s */
        unsigned parallel_max;   /* names worked on at once; 0: 16 */
        /* Starts work on a name. It ends, now or later, with exactly one workqueue_done(). */
        void (*work)(struct workqueue *q, const char *name, void *userdata);
        void *userdata;
        /* Counts under this name (workqueue-metrics.h); NULL: does not. */
        struct metrics *metrics;
        const char *name;
};
int workqueue_new(struct workqueue **ret, sd_event *event, const struct workqueue_options *options);
struct workqueue *workqueue_free(struct workqueue *q);
DEFINE_CLEANUP(struct workqueue *, workqueue_free);
void workqueue_add(struct workqueue *q, const char *name);
void workqueue_add_after(struct workqueue *q, const char *name, uint64_t delay_us);
/* error < 0: again with back-off. requeue_after_us > 0: again then. */
void workqueue_done(struct workqueue *q, const char *name, int error, uint64_t requeue_after_us);
size_t workqueue_depth(const struct workqueue *q);
/* Nothing is started while paused (not leader). */
void workqueue_set_paused(struct workqueue *q, bool paused);
