/* The figures of a work queue; client-go's names and buckets (util/workqueue/metrics.go). */
#include "lib/client/workqueue-metrics.h"

enum { BUCKETS = 12 };

int workqueue_metrics_make(struct metrics *m, const char *name, struct workqueue_metrics *ret) {
        char labels[256];

        *ret = (struct workqueue_metrics){0};
        if (!m)
                return 0;
        (void)snprintf(labels, sizeof(labels), "name=\"%s\"", name);
        *ret = (struct workqueue_metrics){
                        .adds = metrics_counter(m, "workqueue_adds_total", labels,
                                        "Names that were added to the queue."),
                        .depth = metrics_gauge(
                                        m, "workqueue_depth", labels, "Names that wait for work."),
                        .retries = metrics_counter(m, "workqueue_retries_total", labels,
                                        "Names that were added again after a failure."),
                        .waited = metrics_histogram_exponential(m,
                                        "workqueue_queue_duration_seconds", labels,
                                        "How long a name waited before its work began.", 1e-8, 10,
                                        BUCKETS),
                        .worked = metrics_histogram_exponential(m,
                                        "workqueue_work_duration_seconds", labels,
                                        "How long the work on a name took.", 1e-8, 10, BUCKETS),
                        .unfinished = metrics_gauge(m, "workqueue_unfinished_work_seconds", labels,
                                        "The age of all work in progress together."),
                        .longest = metrics_gauge(m, "workqueue_longest_running_processor_seconds",
                                        labels, "The age of the oldest work in progress."),
        };
        return ret->adds && ret->depth && ret->retries && ret->waited && ret->worked &&
                                               ret->unfinished && ret->longest
                               ? 0
                               : -ENOMEM;
}
