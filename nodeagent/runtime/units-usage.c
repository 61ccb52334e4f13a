/* What a service uses: three properties, asked for at the same time; then its processes, when
 * systemd does not account CPU. No file of a control group is read: their paths and names differ
 * between the versions. */
#include <inttypes.h>
#include <systemd/sd-bus.h>

#include "lib/fileio.h"
#include "nodeagent/measure.h"
#include "nodeagent/runtime/units.h"

#define MANAGER "org.freedesktop.systemd1"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define SERVICE MANAGER ".Service"

enum { STAT_SIZE_MAX = 4096, PROCESSES_MAX = 4096 };

struct usage {
        struct units *units;
        units_usage_func done;
        void *userdata;
        char *name, *path;
        struct runtime_usage used; /* UINT64_MAX: not known, as systemd has it */
        unsigned refs, waiting;
};

static void usage_unref(void *userdata) {
        struct usage *g = userdata;

        if (--g->refs > 0)
                return;
        free(g->name);
        free(g->path);
        free(g);
}

static void finish(struct usage *g) {
        bool known = g->used.cpu_ns != UINT64_MAX && g->used.memory_bytes != UINT64_MAX;

        if (g->used.tasks == UINT64_MAX)
                g->used.tasks = 0;
        g->done(g->name, known ? &g->used : NULL, g->userdata);
}

/* The slot holds a reference of g, also when the bus is closed before the answer. */
static void hold(struct usage *g, sd_bus_slot *slot) {
        g->refs++;
        (void)sd_bus_slot_set_destroy_callback(slot, usage_unref);
        (void)sd_bus_slot_set_floating(slot, 1);
        sd_bus_slot_unref(slot);
}

/* --- processes --- */

static uint64_t process_time_ns(uint32_t pid) {
        _cleanup_free_ char *text = NULL;
        char path[64];
        uint64_t ns;
        size_t n;

        snprintf(path, sizeof(path), "/proc/%" PRIu32 "/stat", pid);
        if (file_read(path, STAT_SIZE_MAX, &text, &n) < 0 ||
                        measure_parse_process(text, sysconf(_SC_CLK_TCK), &ns) < 0)
                return 0; /* it has ended meanwhile */
        return ns;
}

static int sum_processes(sd_bus_message *m, uint64_t *ret) {
        const char *group, *command;
        uint64_t sum = 0;
        uint32_t pid;
        size_t n = 0;
        int r = sd_bus_message_enter_container(m, 'a', "(sus)");

        if (r < 0)
                return r;
        while (n++ < PROCESSES_MAX &&
                        (r = sd_bus_message_read(m, "(sus)", &group, &pid, &command)) > 0)
                sum += process_time_ns(pid);
        if (r < 0)
                return r;
        *ret = sum;
        return 0;
}

static int on_processes(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct usage *g = userdata;

        if (!sd_bus_message_is_method_error(m, NULL))
                (void)sum_processes(m, &g->used.cpu_ns);
        finish(g);
        return 0;
}

static int ask_processes(struct usage *g) {
        sd_bus_slot *slot = NULL;
        int r = sd_bus_call_method_async(units_bus(g->units), &slot, MANAGER, g->path, SERVICE,
                        "GetProcesses", on_processes, g, NULL);

        if (r < 0)
                return r;
        hold(g, slot);
        return 0;
}

/* --- properties --- */

static int on_amount(sd_bus_message *m, struct usage *g, uint64_t *ret) {
        if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "v", "t", ret) < 0)
                *ret = UINT64_MAX;
        if (--g->waiting > 0)
                return 0;
        if (g->used.cpu_ns != UINT64_MAX || ask_processes(g) < 0)
                finish(g);
        return 0;
}

static int on_cpu(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct usage *g = userdata;

        return on_amount(m, g, &g->used.cpu_ns);
}

static int on_memory(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct usage *g = userdata;

        return on_amount(m, g, &g->used.memory_bytes);
}

static int on_tasks(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct usage *g = userdata;

        return on_amount(m, g, &g->used.tasks);
}

static int ask_amount(struct usage *g, const char *property, sd_bus_message_handler_t handler) {
        sd_bus_slot *slot = NULL;
        int r = sd_bus_call_method_async(units_bus(g->units), &slot, MANAGER, g->path,
                        "org.freedesktop.DBus.Properties", "Get", handler, g, "ss", SERVICE,
                        property);

        if (r < 0)
                return r;
        g->waiting++;
        hold(g, slot);
        return 0;
}

static int ask(struct usage *g, const char *unit) {
        int r = sd_bus_path_encode(UNIT_PATH, unit, &g->path);

        if (r < 0)
                return r;
        r = ask_amount(g, "CPUUsageNSec", on_cpu);
        if (r < 0)
                return r;
        (void)ask_amount(g, "MemoryCurrent", on_memory);
        (void)ask_amount(g, "TasksCurrent", on_tasks);
        return 0;
}

int units_usage(struct units *u, const char *unit, const char *name, units_usage_func done,
                void *userdata) {
        struct usage *g = calloc(1, sizeof(*g));
        int r;

        if (!g)
                return -ENOMEM;
        *g = (struct usage){.units = u,
                        .done = done,
                        .userdata = userdata,
                        .name = strdup(name),
                        .used = {UINT64_MAX, UINT64_MAX, UINT64_MAX},
                        .refs = 1};
        r = g->name ? ask(g, unit) : -ENOMEM;
        usage_unref(g);
        return r;
}
