/* The driver: asks for every container at once, and reports when all have answered. Two samples
 * make a rate; for a container that started since the last round its start is the first of them. */
#include "nodeagent/measure.h"

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/pod/pods.h"

enum { PERIOD_US = 15 * 1000000, PODS_MAX = 1000, MEMORY_MAX_SHIFT = 50, PROC_SIZE_MAX = 65536 };

/* The CPU time of one run of a container, at a moment. */
struct sample {
        char id[RUN_ID_SIZE];
        uint64_t cpu_ns, mono_us;
};

struct measure {
        struct agent *agent;
        sd_event_source *timer;
        struct map *samples;                    /* unit -> struct sample, of the last round */
        uint64_t stat_busy, stat_all, round_us; /* of the last round; 0: none */
        struct api_call *call;
        /* The round. */
        struct map *taken; /* the samples of this round */
        struct map *rows;  /* unit -> json_t, the row of the container in the report; borrowed */
        json_t *pods;      /* of the report */
        json_t *last;      /* the report of the last round */
        unsigned asked;    /* containers that have not answered */
};

static void on_sent(int error, const json_t *object, const struct problem *p, void *userdata) {
        struct measure *m = userdata;

        m->call = NULL;
        if (error < 0)
                log_debug("The usage of the node was not reported: %s",
                                strempty(p ? p->message : NULL));
}

static void send_report(struct measure *m, const json_t *report) {
        struct agent *a = m->agent;
        _cleanup_free_ char *path = api_path(
                        api_resource(KIND_NODES), NULL, a->config.node_name, "usage", NULL);

        /* A call that hangs must not delay the next one. */
        m->call = api_call_cancel(m->call);
        if (path)
                (void)api_update_async(a->api, path, report, on_sent, m, &m->call);
}

/* --- the machine --- */

/* 1 with CPU and memory; 0: this is the first sample. */
static int measure_machine(
                struct measure *m, int64_t *ret_cpu, int64_t *ret_memory, uint64_t now_us) {
        _cleanup_free_ char *stat = NULL, *meminfo = NULL;
        uint64_t busy, all, was_busy = m->stat_busy, was_all = m->stat_all;
        long ticks = sysconf(_SC_CLK_TCK);
        size_t n;
        int r;

        r = file_read("/proc/stat", 16 * PROC_SIZE_MAX, &stat, &n);
        if (r < 0)
                return r;
        r = measure_parse_stat(stat, &busy, &all);
        if (r < 0)
                return r;
        r = file_read("/proc/meminfo", PROC_SIZE_MAX, &meminfo, &n);
        if (r < 0)
                return r;
        r = measure_parse_meminfo(meminfo, ret_memory);
        if (r < 0)
                return r;
        m->stat_busy = busy;
        m->stat_all = all;
        if (was_all == 0 || busy < was_busy || ticks <= 0)
                return 0;
        *ret_cpu = measure_rate(
                        (busy - was_busy) * (1000000000 / (uint64_t)ticks), now_us - m->round_us);
        return 1;
}

/* --- containers --- */

/* The sample before this one, of the same run; NULL: there is none. */
static const struct sample *sample_before(struct measure *m, const char *unit,
                const struct run_state *state, const struct sample *now, struct sample *start) {
        const struct sample *s = map_get(m->samples, unit);
        uint64_t wall_us = now_wall_us();

        if (s && streq(s->id, now->id) && s->cpu_ns <= now->cpu_ns)
                return s;
        /* It began since the last round: all its CPU time is of that time. */
        if (state->start_us == 0 || state->start_us >= wall_us ||
                        wall_us - state->start_us > 2 * PERIOD_US)
                return NULL;
        *start = (struct sample){.mono_us = now->mono_us - (wall_us - state->start_us)};
        return start;
}

static void take_sample(
                struct measure *m, const char *unit, uint64_t cpu_ns, uint64_t memory_bytes) {
        json_t *row = map_get(m->rows, unit);
        struct sample *now, start;
        const struct sample *before;
        struct run_state state;

        if (!row || runtime_state(m->agent->runtime, unit, &state) <= 0)
                return;
        now = calloc(1, sizeof(*now));
        if (!now)
                return;
        *now = (struct sample){.cpu_ns = cpu_ns, .mono_us = now_mono_us()};
        memcpy(now->id, state.id, sizeof(now->id));
        before = sample_before(m, unit, &state, now, &start);
        if (before) {
                json_set_int(row, "cpuNanocores",
                                measure_rate(cpu_ns - before->cpu_ns,
                                                now->mono_us - before->mono_us));
                json_set_int(row, "memoryBytes",
                                (int64_t)MIN(memory_bytes, UINT64_C(1) << MEMORY_MAX_SHIFT));
        }
        if (map_set(m->taken, unit, now) < 0)
                free(now);
}

/* Containers of which nothing is known yet leave the report, and pods without any. */
static void drop_unknown(json_t *pods) {
        for (size_t i = json_array_size(pods); i-- > 0;) {
                json_t *containers = json_object_get(json_array_get(pods, i), "containers");

                for (size_t k = json_array_size(containers); k-- > 0;)
                        if (!json_object_get(json_array_get(containers, k), "cpuNanocores"))
                                json_array_remove(containers, k);
                if (json_array_size(containers) == 0)
                        json_array_remove(pods, i);
        }
}

static void round_end(struct measure *m) {
        _cleanup_json_ json_t *pods = TAKE_PTR(m->pods), *report = NULL;
        uint64_t now_us = now_mono_us();
        int64_t cpu = 0, memory = 0;
        int r = measure_machine(m, &cpu, &memory, now_us);

        if (r < 0)
                log_debug_errno(r, "Cannot measure the machine in /proc");
        drop_unknown(pods);
        if (r > 0)
                report = json_pack("{ss, ss, s{ss}, sI, sI, sI, sO}", "apiVersion",
                                "keelson.dev/v1", "kind", "NodeUsage", "metadata", "name",
                                m->agent->config.node_name, "windowMilliseconds",
                                (json_int_t)((now_us - m->round_us) / 1000), "cpuNanocores",
                                (json_int_t)cpu, "memoryBytes", (json_int_t)memory, "pods", pods);
        m->round_us = now_us;
        map_free(m->samples);
        m->samples = TAKE_PTR(m->taken);
        m->rows = map_free(m->rows);
        if (!report)
                return;
        send_report(m, report);
        json_decref(m->last);
        m->last = json_ref(report);
}

static void answered(struct measure *m) {
        if (--m->asked == 0)
                round_end(m);
}

static void on_usage(const char *unit, const struct runtime_usage *used, void *userdata) {
        struct measure *m = userdata;

        if (used)
                take_sample(m, unit, used->cpu_ns, used->memory_bytes);
        answered(m);
}

/* The row of the pod, which is the last one or new. */
static json_t *row_of(struct measure *m, const json_t *pod) {
        size_t n = json_array_size(m->pods);
        json_t *row = n > 0 ? json_array_get(m->pods, n - 1) : NULL;

        if (streq(json_str_or(row, "uid", ""), object_uid(pod)))
                return row;
        if (n >= PODS_MAX)
                return NULL;
        row = json_pack("{ss, ss, ss, s[]}", "namespace", object_namespace(pod), "name",
                        object_name(pod), "uid", object_uid(pod), "containers");
        return row && json_array_append_new(m->pods, row) == 0 ? row : NULL;
}

static void ask_container(
                const json_t *pod, const char *container, const char *unit, void *userdata) {
        struct measure *m = userdata;
        struct run_state state;
        json_t *row, *one;

        if (runtime_state(m->agent->runtime, unit, &state) <= 0 || !state.alive)
                return;
        row = row_of(m, pod);
        one = row ? json_pack("{ss}", "name", container) : NULL;
        if (!one || json_array_append_new(json_object_get(row, "containers"), one) < 0 ||
                        map_set(m->rows, unit, one) < 0)
                return;
        if (runtime_usage(m->agent->runtime, unit, on_usage, m) >= 0)
                m->asked++;
}

static void round_begin(struct measure *m) {
        if (m->taken)
                return; /* systemd has not answered for a whole period */
        m->taken = map_new(free);
        m->rows = map_new(NULL);
        m->pods = json_array();
        if (!m->taken || !m->rows || !m->pods) {
                m->taken = map_free(m->taken);
                m->rows = map_free(m->rows);
                json_decref(TAKE_PTR(m->pods));
                return;
        }
        m->asked = 1; /* this function itself */
        pods_each_container(m->agent->pods, ask_container, m);
        answered(m);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct measure *m = userdata;

        (void)sd_event_source_set_time_relative(s, PERIOD_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        round_begin(m);
        return 0;
}

int measure_new(struct measure **ret, struct agent *agent) {
        _cleanup_(measure_freep) struct measure *m = calloc(1, sizeof(*m));
        int r;

        if (!m)
                return -ENOMEM;
        m->agent = agent;
        m->samples = map_new(free);
        if (!m->samples)
                return -ENOMEM;
        r = sd_event_add_time_relative(agent->event, &m->timer, CLOCK_MONOTONIC, 0, 0, on_timer, m);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

struct measure *measure_free(struct measure *m) {
        if (!m)
                return NULL;
        sd_event_source_disable_unref(m->timer);
        api_call_cancel(m->call);
        map_free(m->samples);
        map_free(m->taken);
        map_free(m->rows);
        json_decref(m->pods);
        json_decref(m->last);
        return mfree(m);
}

const json_t *measure_last(const struct measure *m) {
        return m ? m->last : NULL;
}
