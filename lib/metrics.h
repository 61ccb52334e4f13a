/* Counters, gauges and histograms in Prometheus' text form. Handles are made once at start and are
 * cheap to bump. */
#pragma once

#include "lib/buf.h"

struct metrics;
struct metric;

struct metrics *metrics_new(void);
struct metrics *metrics_free(struct metrics *m);
DEFINE_CLEANUP(struct metrics *, metrics_free);
/* labels: "" or "verb=\"get\",code=\"200\"" . Returns an existing one of the same name and labels.
 * NULL when out of memory. */
struct metric *metrics_counter(
                struct metrics *m, const char *name, const char *labels, const char *help);
struct metric *metrics_gauge(
                struct metrics *m, const char *name, const char *labels, const char *help);
/* Seconds, with the buckets 1 ms to 60 s that the API server uses. */
struct metric *metrics_histogram(
                struct metrics *m, const char *name, const char *labels, const char *help);
/* With its own buckets: up to METRIC_BUCKETS_MAX bounds that rise. */
enum { METRIC_BUCKETS_MAX = 20 };
struct metric *metrics_histogram_bounds(struct metrics *m, const char *name, const char *labels,
                const char *help, const double *bounds, size_t n);
/* The same with n bounds from start on, each the factor above the one before. */
struct metric *metrics_histogram_exponential(struct metrics *m, const char *name,
                const char *labels, const char *help, double start, double factor, size_t n);
void metric_add(struct metric *x, double v);
void metric_set(struct metric *x, double v);
void metric_observe(struct metric *x, double seconds);
/* A histogram that was counted elsewhere: above[i] observations were larger than the i-th bound. */
void metric_set_histogram(struct metric *x, const uint64_t *above, uint64_t count, double sum);
/* Of this process. */
unsigned process_open_fds(void);
/* Every series of this name becomes 0. */
void metrics_zero(struct metrics *m, const char *name);
/* The series is no longer rendered; the handle is gone. NULL is fine. */
void metrics_remove(struct metrics *m, struct metric *x);
/* Called before each rendering, to refresh gauges; several may be. -ENOMEM. */
int metrics_on_render(struct metrics *m, void (*func)(void *userdata), void *userdata);
/* No longer: for one whose userdata ends before the metrics. */
void metrics_off_render(struct metrics *m, void (*func)(void *userdata), void *userdata);
/* Appends everything, and the process' own figures (memory, CPU, file descriptors, start time). */
int metrics_render(struct metrics *m, struct buf *out);
