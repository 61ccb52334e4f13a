/* The figures of GitSyncs. Times are of the wall clock, as Prometheus' conventions want: the age of
 * the last good run is time() minus its time stamp. */
#include "reconcilers/gitsync/figures.h"

#include "lib/object.h"
#include "lib/timefmt.h"

static const double bounds[] = {0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600};

int figures_shared_init(struct figures_shared *f, struct metrics *metrics) {
        f->metrics = metrics;
        f->without = metrics_gauge(metrics, "keelson_gitsync_without_series", "",
                        "GitSyncs that have no series of their own, for there are too many.");
        return f->without ? 0 : -ENOMEM;
}

static struct metric *run_counter(struct metrics *m, const char *labels, const char *result) {
        _cleanup_free_ char *both = strformat("%s,result=\"%s\"", labels, result);

        return both ? metrics_counter(m, "keelson_gitsync_runs_total", both,
                                      "Runs of a GitSync that began with a fetch.")
                    : NULL;
}

int figures_init(struct figures *f, struct figures_shared *shared, const char *ns,
                const char *name) {
        struct metrics *m = shared->metrics;
        _cleanup_free_ char *labels = NULL;

        if (!m)
                return 0;
        f->shared = shared;
        if (shared->with >= FIGURES_MAX) {
                metric_set(shared->without, (double)++shared->without_count);
                return 0;
        }
        shared->with++;
        labels = strformat("namespace=\"%s\",name=\"%s\"", ns, name);
        if (!labels)
                return -ENOMEM;
        f->last_good = metrics_gauge(m, "keelson_gitsync_last_success_timestamp_seconds", labels,
                        "When Git was last read and all that it says held; 0: never.");
        f->ready = metrics_gauge(m, "keelson_gitsync_ready", labels,
                        "1 when the last run was good, 0 when it failed.");
        f->suspended = metrics_gauge(
                        m, "keelson_gitsync_suspended", labels, "1 while spec.suspend is set.");
        f->interval = metrics_gauge(m, "keelson_gitsync_interval_seconds", labels,
                        "How often a run is due (spec.interval).");
        f->good = run_counter(m, labels, "good");
        f->failed = run_counter(m, labels, "failed");
        f->seconds = metrics_histogram_bounds(m, "keelson_gitsync_run_seconds", labels,
                        "How long a run took, from the fetch to its end.", bounds,
                        ELEMENTS(bounds));
        return f->last_good && f->ready && f->suspended && f->interval && f->good && f->failed &&
                                               f->seconds
                               ? 0
                               : -ENOMEM;
}

void figures_done(struct figures *f) {
        struct metric *all[] = {f->last_good, f->ready, f->suspended, f->interval, f->good,
                        f->failed, f->seconds};
        struct figures_shared *shared = f->shared;

        if (!shared)
                return;
        if (f->last_good)
                shared->with--;
        else
                metric_set(shared->without, (double)--shared->without_count);
        for (size_t i = 0; i < ELEMENTS(all); i++)
                metrics_remove(shared->metrics, all[i]);
        *f = (struct figures){0};
}

void figures_see(struct figures *f, const json_t *object, uint64_t interval_us) {
        uint64_t then;

        metric_set(f->suspended, json_bool_or(object, "spec.suspend", false));
        metric_set(f->interval, (double)interval_us / 1e6);
        if (f->has_last || time_parse(json_str(object, "status.lastSyncTime"), &then) < 0)
                return;
        f->has_last = true;
        metric_set(f->last_good, (double)then / 1e6);
        metric_set(f->ready, object_condition_true(object, "Ready"));
}

void figures_begin(struct figures *f) {
        f->began_us = now_mono_us();
}

static void end(struct figures *f, struct metric *counter, bool good) {
        if (f->began_us > 0) {
                metric_add(counter, 1);
                metric_observe(f->seconds, (double)(now_mono_us() - f->began_us) / 1e6);
        }
        f->began_us = 0;
        metric_set(f->ready, good);
}

void figures_good(struct figures *f) {
        end(f, f->good, true);
        f->has_last = true;
        metric_set(f->last_good, (double)now_wall_us() / 1e6);
}

void figures_failed(struct figures *f) {
        end(f, f->failed, false);
}
