/* The driver: reads the machine, asks what pods use when one has to end, and ends the first of
 * them. The next one has its turn when that one is gone, or after half a minute. */
#include "nodeagent/eviction.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/statvfs.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/vector.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/du.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/pod/trash.h"

enum {
        PERIOD_US = 10 * 1000000,
        PERIOD_BUSY_US = 1000000, /* while a pod ends */
        GONE_MAX_US = 30 * 1000000,
        PROC_SIZE_MAX = 65536,
};
#define PSI_PATH "/proc/pressure/memory"
/* Programs waited for memory for 300 ms of two seconds: a window that needs no rights since
 * Linux 6.4 (Documentation/accounting/psi.rst). */
#define PSI_TRIGGER "some 300000 2000000"

struct candidates { /* a vector */
        struct eviction_pod *items;
        size_t count, allocated;
};

struct eviction {
        struct agent *agent;
        struct eviction_settings settings;
        struct eviction_memory memory;
        struct eviction_verdict verdict;
        struct eviction_observation seen[EVICTION_SIGNALS]; /* at the last look */
        sd_event_source *timer, *psi;
        int psi_fd;
        char *ending; /* uid of the pod that ends; NULL: none */
        uint64_t ending_us;
        /* While a choice is made. */
        const struct eviction_threshold *due;
        struct candidates candidates;
        struct map *by_unit; /* unit -> its container's name and pod: struct asked */
        struct map *by_path; /* folder -> uid */
        struct du *du;
        unsigned waiting; /* answers to come */
};

struct asked {
        size_t index; /* of the candidate */
        char *container;
};

static void asked_free(void *value) {
        struct asked *a = value;

        free(a->container);
        free(a);
}

/* ---- the machine ---- */

static int64_t meminfo(const char *text, const char *name) {
        const char *line = strstr(text, name);

        return line ? strtoll(line + strlen(name), NULL, 10) * 1024 : 0;
}

static void see_memory(struct eviction_observation *o) {
        _cleanup_free_ char *text = NULL;
        size_t n;

        if (file_read("/proc/meminfo", PROC_SIZE_MAX, &text, &n) < 0)
                return;
        *o = (struct eviction_observation){
                        true, meminfo(text, "MemAvailable:"), meminfo(text, "MemTotal:")};
}

static void see_disk(const char *dir, struct eviction_observation seen[static EVICTION_SIGNALS]) {
        struct statvfs fs;

        if (statvfs(dir, &fs) < 0)
                return;
        seen[SIGNAL_DISK] = (struct eviction_observation){true,
                        (int64_t)(fs.f_bavail * fs.f_frsize), (int64_t)(fs.f_blocks * fs.f_frsize)};
        /* Some file systems (btrfs) have no fixed number of them. */
        if (fs.f_files > 0)
                seen[SIGNAL_INODES] = (struct eviction_observation){
                                true, (int64_t)fs.f_favail, (int64_t)fs.f_files};
}

static void see_pids(struct eviction_observation *o) {
        _cleanup_free_ char *load = NULL;
        int64_t max = node_tasks_max();
        const char *slash;
        size_t n;

        if (max <= 0 || file_read("/proc/loadavg", 256, &load, &n) < 0)
                return;
        slash = strchr(load, '/');
        if (slash)
                *o = (struct eviction_observation){true, max - strtoll(slash + 1, NULL, 10), max};
}

static void see(struct eviction *e) {
        memset(e->seen, 0, sizeof(e->seen));
        see_memory(&e->seen[SIGNAL_MEMORY]);
        see_disk(e->agent->config.data_dir, e->seen);
        see_pids(&e->seen[SIGNAL_PIDS]);
}

/* ---- the choice of a pod ---- */

static void choice_end(struct eviction *e) {
        for (size_t i = 0; i < e->candidates.count; i++) {
                json_decref(json_unconst(e->candidates.items[i].object));
                json_decref(e->candidates.items[i].containers);
        }
        vector_done(&e->candidates);
        e->by_unit = map_free(e->by_unit);
        e->by_path = map_free(e->by_path);
        e->du = du_free(e->du);
        e->due = NULL;
        e->waiting = 0;
}

static void end_pod(struct eviction *e, const struct eviction_pod *pod) {
        _cleanup_free_ char *message = eviction_message(pod, e->due, &e->seen[e->due->signal]);

        if (!message)
                return;
        e->ending = strdup(object_uid(pod->object));
        e->ending_us = now_mono_us();
        pods_end(e->agent->pods, object_uid(pod->object), "Evicted", message,
                        eviction_grace_s(&e->settings, e->due, pod->object));
}

/* All have answered. */
static void choose(struct eviction *e) {
        for (size_t i = 0; i < e->candidates.count; i++)
                eviction_pod_rate(&e->candidates.items[i], e->due->signal);
        eviction_rank(e->candidates.items, e->candidates.count, e->due->signal);
        if (e->candidates.count > 0)
                end_pod(e, &e->candidates.items[0]);
        else
                log_notice("The machine is low on a resource, and no pod can be ended for it");
        choice_end(e);
}

static void answered(struct eviction *e) {
        assert(e->waiting > 0);
        if (--e->waiting == 0)
                choose(e);
}

static void add_usage(struct eviction *e, const struct asked *a, int64_t amount) {
        struct eviction_pod *pod = &e->candidates.items[a->index];

        pod->usage += amount;
        if (!pod->containers)
                pod->containers = json_object();
        json_object_set_new(pod->containers, a->container, json_integer(amount));
}

static void on_usage(const char *unit, const struct runtime_usage *used, void *userdata) {
        struct eviction *e = userdata;
        const struct asked *a = map_get(e->by_unit, unit);
        uint64_t amount = !used                             ? 0
                          : e->due->signal == SIGNAL_MEMORY ? used->memory_bytes
                                                            : used->tasks;

        if (a && used)
                add_usage(e, a, (int64_t)MIN(amount, (uint64_t)INT64_MAX / 1024));
        answered(e);
}

static void ask_container(
                const json_t *pod, const char *container, const char *unit, void *userdata) {
        struct eviction *e = userdata;

        for (size_t i = 0; i < e->candidates.count; i++) {
                struct asked *a;

                if (e->candidates.items[i].object != pod)
                        continue;
                a = calloc(1, sizeof(*a));
                if (!a)
                        return;
                *a = (struct asked){.index = i, .container = strdup(container)};
                if (!a->container || map_set(e->by_unit, unit, a) < 0) {
                        asked_free(a);
                        return;
                }
                if (runtime_usage(e->agent->runtime, unit, on_usage, e) >= 0)
                        e->waiting++;
                return;
        }
}

static void on_path(const char *path, uint64_t amount, void *userdata) {
        struct eviction *e = userdata;
        const char *uid = map_get(e->by_path, path);

        for (size_t i = 0; uid && i < e->candidates.count; i++)
                if (streq(object_uid(e->candidates.items[i].object), uid))
                        e->candidates.items[i].usage = (int64_t)MIN(amount, (uint64_t)INT64_MAX);
}

static void on_du_end(struct du *du, void *userdata) {
        answered(userdata);
}

static void add_candidate(const json_t *object, const char *disk_dir, void *userdata) {
        struct eviction *e = userdata;
        struct eviction_pod pod = {.object = object};

        if (eviction_pod_is_critical(object) || vector_append(&e->candidates, pod) < 0)
                return;
        (void)json_ref(object);
        (void)map_set(e->by_path, disk_dir, (void *)object_uid(object));
}

static int measure_disk(struct eviction *e) {
        _cleanup_strv_free_ char **paths = NULL;
        struct du_options o = {.unit = e->due->signal == SIGNAL_INODES ? DU_INODES : DU_BYTES,
                        .on_path = on_path,
                        .on_end = on_du_end,
                        .userdata = e};

        map_foreach (e->by_path, entry) {
                int r = strv_extend(&paths, map_entry_key(entry));

                if (r < 0)
                        return r;
        }
        if (!paths)
                return 0;
        o.paths = paths;
        return du_start(&e->du, e->agent->event, &o);
}

static void choice_begin(struct eviction *e) {
        bool disk = e->verdict.due->signal == SIGNAL_DISK ||
                    e->verdict.due->signal == SIGNAL_INODES;

        if (e->due)
                return;
        e->due = e->verdict.due;
        e->by_unit = map_new(asked_free);
        e->by_path = map_new(NULL);
        if (!e->by_unit || !e->by_path) {
                choice_end(e);
                return;
        }
        e->waiting = 1; /* this function itself */
        pods_each_living(e->agent->pods, add_candidate, e);
        if (!disk)
                pods_each_container(e->agent->pods, ask_container, e);
        else if (measure_disk(e) >= 0 && e->du)
                e->waiting++;
        answered(e);
}

/* ---- looks ---- */

/* Whether the pod that was ended is still on its way. */
static bool is_ending(struct eviction *e, uint64_t now_us) {
        if (!e->ending)
                return false;
        if (now_us < e->ending_us + GONE_MAX_US &&
                        (pods_has_processes(e->agent->pods, e->ending) ||
                                        pods_has_data(e->agent->pods, e->ending) ||
                                        trash_is_busy(e->agent->trash)))
                return true;
        e->ending = mfree(e->ending);
        return false;
}

static void look(struct eviction *e) {
        uint64_t now_us = now_mono_us();
        struct eviction_verdict before = e->verdict;
        unsigned pressures = 0;

        see(e);
        eviction_look(&e->settings, &e->memory, e->seen, now_us, &e->verdict);
        for (size_t i = 0; i < NODE_PRESSURES; i++)
                pressures |= e->verdict.pressure[i] ? 1U << i : 0;
        pods_set_pressures(e->agent->pods, pressures);
        if (memcmp(before.pressure, e->verdict.pressure, sizeof(before.pressure)) != 0 &&
                        e->agent->node)
                node_report(e->agent->node);
        if (e->verdict.due && !is_ending(e, now_us))
                choice_begin(e);
}

static int on_timer(sd_event_source *s, uint64_t usec, void *userdata) {
        struct eviction *e = userdata;

        look(e);
        (void)sd_event_source_set_time_relative(s, e->verdict.due ? PERIOD_BUSY_US : PERIOD_US);
        (void)sd_event_source_set_enabled(s, SD_EVENT_ONESHOT);
        return 0;
}

static int on_psi(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct eviction *e = userdata;

        if (revents & (EPOLLERR | EPOLLHUP)) {
                e->psi = sd_event_source_disable_unref(e->psi);
                return 0;
        }
        look(e);
        return 0;
}

/* Kernels without it, and containers that may not use it, are looked at every ten seconds only. */
static int watch_psi(struct eviction *e) {
        e->psi_fd = open(PSI_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (e->psi_fd < 0 || write(e->psi_fd, PSI_TRIGGER, sizeof(PSI_TRIGGER)) < 0)
                return -errno;
        return sd_event_add_io(e->agent->event, &e->psi, e->psi_fd, EPOLLPRI, on_psi, e);
}

static int read_settings(struct eviction *e, struct problem *p) {
        const struct agent_config *c = &e->agent->config;
        const struct eviction_texts texts = {.hard = c->eviction_hard,
                        .soft = c->eviction_soft,
                        .soft_grace = c->eviction_soft_grace,
                        .reclaim = c->eviction_reclaim};

        e->settings.transition_us = c->eviction_transition_us;
        e->settings.soft_grace_max_s = (int64_t)(c->eviction_pod_grace_us / 1000000);
        return eviction_settings_parse(&e->settings, &texts, p);
}

int eviction_new(struct eviction **ret, struct agent *agent, struct problem *p) {
        _cleanup_(eviction_freep) struct eviction *e = calloc(1, sizeof(*e));
        int r;

        if (!e)
                return -ENOMEM;
        e->agent = agent;
        e->psi_fd = -EBADF;
        r = read_settings(e, p);
        if (r < 0)
                return r;
        r = watch_psi(e);
        if (r < 0)
                log_debug_errno(r, "The kernel does not report that programs wait for memory");
        r = sd_event_add_time_relative(agent->event, &e->timer, CLOCK_MONOTONIC, 0, 0, on_timer, e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(e);
        return 0;
}

struct eviction *eviction_free(struct eviction *e) {
        if (!e)
                return NULL;
        choice_end(e);
        sd_event_source_disable_unref(e->timer);
        sd_event_source_disable_unref(e->psi);
        safe_close(e->psi_fd);
        free(e->ending);
        free(e);
        return NULL;
}

bool eviction_has_pressure(const struct eviction *e, enum node_pressure pressure) {
        return e && e->verdict.pressure[pressure];
}
