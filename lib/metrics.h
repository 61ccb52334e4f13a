/* Counters, gauges and histograms in Prometheus' text form. Handles are made once at start and are
 * cheap to bump. */
#pragma once

#include "lib/buf.h"

struct metrics;
struct metric;

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
DEFINE_CLEANUP(struct metrics *, metrics_free);
/* labels: "" or "verb=\"get\",code=\"200\"" . Returns an existing one of the same name and labels. NULL when out of memory. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *labels, const char *help);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *labels, const char *help);
/* Seconds, with the buckets 1 ms to 60 s that the API server uses. */
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *labels, const char *help);
void metric_add(struct metric *x, double v);
void metric_set(struct metric *x, double v);
void metric_observe(struct metric *x, double seconds);
/* Called before each rendering, to refresh gauges. */
void metrics_on_render(struct metrics *m, void (*func)(void *userdata), void *userdata);
/* Appends everything, and the process' own figures (memory, CPU, file descriptors, start time). */
int metrics_render(struct metrics *m, struct buf *out);
