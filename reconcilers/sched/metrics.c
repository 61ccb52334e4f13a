/* The scheduler's figures. Those of its queue have Kubernetes' names: work on a pod is the choice
 * of a node, and its binding until the answer comes. */
#include "lib/timefmt.h"
#include "reconcilers/sched/internal.h"

static const char *const pending_labels[] = {
                "queue=\"active\"", "queue=\"backoff\"", "queue=\"unschedulable\""};

/* The age of the bindings in flight. */
static void set_ages(struct scheduler *s) {
        uint64_t now = now_mono_us();
        double sum = 0, longest = 0;

        map_foreach (s->bindings, e) {
                double age = (double)(now - scheduler_binding_started_us(map_entry_value(e))) / 1e6;

                sum += age;
                longest = MAX(longest, age);
        }
        metric_set(s->work_metrics.unfinished, sum);
        metric_set(s->work_metrics.longest, longest);
}

static void on_render(void *userdata) {
        struct scheduler *s = userdata;
        struct sched_queue_counts c = sched_queue_counts(s->queue);

        metric_set(s->pending[0], (double)c.active);
        metric_set(s->pending[1], (double)c.backoff);
        metric_set(s->pending[2], (double)c.parked);
        metric_set(s->work_metrics.depth, (double)c.active);
        metric_set(s->work_metrics.adds, (double)c.adds);
        metric_set(s->work_metrics.retries, (double)c.retries);
        set_ages(s);
}

int scheduler_metrics_make(struct scheduler *s) {
        struct metrics *m = s->options.metrics;
        int r;

        s->bound_total = metrics_counter(
                        m, "keelson_scheduler_bound_total", "", "Pods bound to a node.");
        s->unschedulable_total = metrics_counter(m, "keelson_scheduler_unschedulable_total", "",
                        "Times that no node was found for a pod.");
        s->refused_total = metrics_counter(
                        m, "keelson_scheduler_refused_total", "", "Bindings that the API refused.");
        s->preempted_total = metrics_counter(m, "keelson_scheduler_preempted_total", "",
                        "Pods deleted to make room for pods of a higher priority.");
        s->latency = metrics_histogram(m, "keelson_scheduler_binding_seconds", "",
                        "Time from the choice of a node to the answer to its binding.");
        s->choice = metrics_histogram(m, "keelson_scheduler_choice_seconds", "",
                        "Time that the choice of a node took.");
        if (!s->bound_total || !s->unschedulable_total || !s->refused_total ||
                        !s->preempted_total || !s->latency || !s->choice)
                return -ENOMEM;
        for (size_t i = 0; i < ELEMENTS(pending_labels); i++) {
                s->pending[i] = metrics_gauge(m, "scheduler_pending_pods", pending_labels[i],
                                "Pods without a node.");
                if (!s->pending[i])
                        return -ENOMEM;
        }
        r = workqueue_metrics_make(m, "scheduler", &s->work_metrics);
        return r < 0 ? r : metrics_on_render(m, on_render, s);
}

void scheduler_metrics_done(struct scheduler *s) {
        metrics_off_render(s->options.metrics, on_render, s);
}

void scheduler_metrics_begin(struct scheduler *s, const char *key) {
        metric_observe(s->work_metrics.waited, (double)sched_queue_waited_us(s->queue, key) / 1e6);
}

void scheduler_metrics_end(struct scheduler *s, uint64_t begin_us) {
        metric_observe(s->work_metrics.worked, (double)(now_mono_us() - begin_us) / 1e6);
}
