/* The figures of a work queue, with the names that Kubernetes gives them, so that its dashboards
 * and alerts work: workqueue_adds_total, _depth, _retries_total, _queue_duration_seconds,
 * _work_duration_seconds, _unfinished_work_seconds and _longest_running_processor_seconds, each
 * with the label name="QUEUE". */
#pragma once

#include "lib/metrics.h"

struct workqueue_metrics {
        struct metric *adds, *depth, *retries, *waited, *worked, *unfinished, *longest;
};

/* All NULL, which counts nothing, when metrics is NULL. The name has no quotes. */
int workqueue_metrics_make(
                struct metrics *metrics, const char *name, struct workqueue_metrics *ret);
