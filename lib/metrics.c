/* Metrics in Prometheus' text exposition format 0.0.4. Few series, rendered rarely: a vector
 * serves. */
#include "lib/metrics.h"

#include <dirent.h>
#include <sys/resource.h>

#include "lib/timefmt.h"
#include "lib/vector.h"

static const double usual_bounds[] = {
                0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

struct metric {
        enum metric_type type;
        char *name, *labels, *help;
        double value; /* histograms: the sum */
        double bounds[METRIC_BUCKETS_MAX];
        size_t bound_count;
        uint64_t buckets[METRIC_BUCKETS_MAX]; /* not cumulative */
        uint64_t count;
};

struct on_render {
        void (*func)(void *userdata);
        void *userdata;
};

struct metrics { /* a vector */
        struct metric **items;
        size_t count, allocated;
        uint64_t started_us;
        VECTOR(struct on_render) on_render;
};

struct metrics *metrics_new(void) {
        struct metrics *m = calloc(1, sizeof(*m));

        if (m)
                m->started_us = now_wall_us();
        return m;
}

static struct metric *metric_free(struct metric *x) {
        if (!x)
                return NULL;
        free(x->name);
        free(x->labels);
        free(x->help);
        free(x);
        return NULL;
}

struct metrics *metrics_free(struct metrics *m) {
        if (!m)
                return NULL;
        for (size_t i = 0; i < m->count; i++)
                metric_free(m->items[i]);
        free(m->items);
        vector_done(&m->on_render);
        free(m);
        return NULL;
}

/* Series of one name stay together, so that HELP and TYPE come once. */
static struct metric *metrics_add(struct metrics *m, enum metric_type type, const char *name,
                const char *labels, const char *help) {
        size_t at = m->count;

        for (size_t i = 0; i < m->count; i++)
                if (streq(m->items[i]->name, name)) {
                        if (streq(m->items[i]->labels, labels))
                                return m->items[i];
                        at = i + 1;
                }
        struct metric *x = calloc(1, sizeof(*x));
        if (!x)
                return NULL;
        x->type = type;
        x->name = strdup(name);
        x->labels = strdup(labels);
        x->help = strdup(help);
        if (!x->name || !x->labels || !x->help)
                return metric_free(x);
        if (vector_insert(m, at, x) < 0)
                return metric_free(x);
        return x;
}

struct metric *metrics_counter(
                struct metrics *m, const char *name, const char *labels, const char *help) {
        return metrics_add(m, METRIC_COUNTER, name, labels, help);
}

struct metric *metrics_gauge(
                struct metrics *m, const char *name, const char *labels, const char *help) {
        return metrics_add(m, METRIC_GAUGE, name, labels, help);
}

struct metric *metrics_histogram(
                struct metrics *m, const char *name, const char *labels, const char *help) {
        return metrics_histogram_bounds(
                        m, name, labels, help, usual_bounds, ELEMENTS(usual_bounds));
}

struct metric *metrics_histogram_bounds(struct metrics *m, const char *name, const char *labels,
                const char *help, const double *bounds, size_t n) {
        struct metric *x = metrics_add(m, METRIC_HISTOGRAM, name, labels, help);

        assert(n <= METRIC_BUCKETS_MAX);
        if (x && x->bound_count == 0) {
                memcpy(x->bounds, bounds, n * sizeof(*bounds));
                x->bound_count = n;
        }
        return x;
}

struct metric *metrics_histogram_exponential(struct metrics *m, const char *name,
                const char *labels, const char *help, double start, double factor, size_t n) {
        double bounds[METRIC_BUCKETS_MAX];

        assert(n <= METRIC_BUCKETS_MAX);
        for (size_t i = 0; i < n; i++, start *= factor)
                bounds[i] = start;
        return metrics_histogram_bounds(m, name, labels, help, bounds, n);
}

void metric_add(struct metric *x, double v) {
        if (x)
                x->value += v;
}

void metric_set(struct metric *x, double v) {
        if (x)
                x->value = v;
}

void metric_observe(struct metric *x, double seconds) {
        size_t i;

        if (!x)
                return;
        for (i = 0; i < x->bound_count && seconds > x->bounds[i]; i++)
                ;
        if (i < x->bound_count)
                x->buckets[i]++;
        x->count++;
        x->value += seconds;
}

void metric_set_histogram(struct metric *x, const uint64_t *above, uint64_t count, double sum) {
        uint64_t before = count;

        if (!x)
                return;
        for (size_t i = 0; i < x->bound_count; i++) {
                x->buckets[i] = before - above[i];
                before = above[i];
        }
        x->count = count;
        x->value = sum;
}

void metrics_zero(struct metrics *m, const char *name) {
        for (size_t i = 0; i < m->count; i++)
                if (streq(m->items[i]->name, name))
                        m->items[i]->value = 0;
}

void metrics_remove(struct metrics *m, struct metric *x) {
        for (size_t i = 0; x && i < m->count; i++)
                if (m->items[i] == x) {
                        vector_remove(m, i);
                        metric_free(x);
                        return;
                }
}

int metrics_on_render(struct metrics *m, void (*func)(void *userdata), void *userdata) {
        return vector_append(&m->on_render, ((struct on_render){func, userdata}));
}

void metrics_off_render(struct metrics *m, void (*func)(void *userdata), void *userdata) {
        for (size_t i = 0; i < m->on_render.count; i++)
                if (m->on_render.items[i].func == func &&
                                m->on_render.items[i].userdata == userdata) {
                        vector_remove(&m->on_render, i);
                        return;
                }
}

static void render_head(struct buf *out, const char *name, const char *help, const char *type) {
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void render_histogram(const struct metric *x, struct buf *out) {
        const char *comma = *x->labels ? "," : "";
        uint64_t sum = 0;

        for (size_t i = 0; i < x->bound_count; i++) {
                sum += x->buckets[i];
                buf_printf(out, "%s_bucket{%s%sle=\"%g\"} %llu\n", x->name, x->labels, comma,
                                x->bounds[i], (unsigned long long)sum);
        }
        buf_printf(out, "%s_bucket{%s%sle=\"+Inf\"} %llu\n", x->name, x->labels, comma,
                        (unsigned long long)x->count);
        const char *open = *x->labels ? "{" : "", *close_brace = *x->labels ? "}" : "";
        buf_printf(out, "%s_sum%s%s%s %.9g\n", x->name, open, x->labels, close_brace, x->value);
        buf_printf(out, "%s_count%s%s%s %llu\n", x->name, open, x->labels, close_brace,
                        (unsigned long long)x->count);
}

static void memory_pages(unsigned long *ret_all, unsigned long *ret_resident) {
        _cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");

        if (!f || fscanf(f, "%lu %lu", ret_all, ret_resident) != 2)
                *ret_all = *ret_resident = 0;
}

unsigned process_open_fds(void) {
        DIR *d = opendir("/proc/self/fd");
        unsigned n = 0;

        if (!d)
                return 0;
        while (readdir(d))
                n++;
        closedir(d);
        return n > 3 ? n - 3 : 0; /* ".", ".." and the directory itself */
}

static void render_one(struct buf *out, const char *name, const char *type, const char *help,
                int decimals, double value) {
        render_head(out, name, help, type);
        buf_printf(out, "%s %.*f\n", name, decimals, value);
}

static void render_process(const struct metrics *m, struct buf *out) {
        const double page = (double)sysconf(_SC_PAGESIZE);
        unsigned long all, resident;
        struct rlimit files = {0};
        struct rusage u;

        getrusage(RUSAGE_SELF, &u);
        memory_pages(&all, &resident);
        (void)getrlimit(RLIMIT_NOFILE, &files);
        render_one(out, "process_cpu_seconds_total", "counter", "User and system CPU time spent", 6,
                        (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                                        (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6);
        render_one(out, "process_resident_memory_bytes", "gauge", "Resident memory", 0,
                        (double)resident * page);
        render_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory", 0,
                        (double)all * page);
        render_one(out, "process_open_fds", "gauge", "Open file descriptors", 0,
                        process_open_fds());
        render_one(out, "process_max_fds", "gauge", "File descriptors that may be open", 0,
                        (double)files.rlim_cur);
        render_one(out, "process_start_time_seconds", "gauge", "Start time since the epoch", 3,
                        (double)m->started_us / 1e6);
}

int metrics_render(struct metrics *m, struct buf *out) {
        static const char *const types[] = {"counter", "gauge", "histogram"};

        for (size_t i = 0; i < m->on_render.count; i++)
                m->on_render.items[i].func(m->on_render.items[i].userdata);
        for (size_t i = 0; i < m->count; i++) {
                const struct metric *x = m->items[i];

                if (i == 0 || !streq(x->name, m->items[i - 1]->name))
                        render_head(out, x->name, x->help, types[x->type]);
                if (x->type == METRIC_HISTOGRAM)
                        render_histogram(x, out);
                else
                        buf_printf(out, "%s%s%s%s %.15g\n", x->name, *x->labels ? "{" : "",
                                        x->labels, *x->labels ? "}" : "", x->value);
        }
        render_process(m, out);
        return out->failed ? -ENOMEM : 0;
}
