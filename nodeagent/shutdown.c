/* The driver: a delay lock of logind (systemd-inhibit(1)), its signal PrepareForShutdown, and a
 * timer while pods end. logind's own limit of the delay is raised by a drop-in where it is too
 * short, as the kubelet does it. Pods fail only while the node is in touch with the control plane:
 * else nobody would replace them, and they start again with the machine. */
#include "nodeagent/shutdown.h"

#include <fcntl.h>
#include <signal.h>
#include <systemd/sd-bus.h>

#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/timefmt.h"
#include "nodeagent/node.h"
#include "nodeagent/pod/pods.h"

#define LOGIND "org.freedesktop.login1"
#define LOGIND_PATH "/org/freedesktop/login1"
#define LOGIND_INTERFACE LOGIND ".Manager"
#define LOGIND_UNIT "systemd-logind.service"
#define DROP_IN_DIR "/etc/systemd/logind.conf.d"
#define DROP_IN DROP_IN_DIR "/99-keelson.conf"

enum { LOOK_US = 100000 };

struct shutdown {
        struct agent *agent;
        sd_bus *bus; /* borrowed */
        sd_bus_slot *signal, *owner, *call;
        sd_event_source *timer;
        int lock;
        enum shutdown_stage stage;
        uint64_t since_us;
        bool fail; /* pods become Failed */
        bool raised;
};

static int take_lock(struct shutdown *s);

/* ---- the pods ---- */

/* The lease was renewed since the shutdown was announced. */
static bool is_in_touch(const struct shutdown *s) {
        return s->agent->node && node_renewed_us(s->agent->node) > s->since_us;
}

static void enter(struct shutdown *s, enum shutdown_stage stage) {
        const struct agent_config *c = &s->agent->config;
        struct pods *pods = s->agent->pods;
        uint64_t critical = MIN(c->shutdown_critical_us, c->shutdown_us);

        s->stage = stage;
        if (stage == SHUTDOWN_ORDINARY) {
                s->fail = is_in_touch(s);
                log_notice("The machine is being shut down; its pods end%s",
                                s->fail ? "" : " and start again with it");
                pods_halt(pods, /* critical= */ false, s->fail,
                                (int64_t)((c->shutdown_us - critical) / 1000000));
        } else if (stage == SHUTDOWN_CRITICAL)
                pods_halt(pods, /* critical= */ true, s->fail, (int64_t)(critical / 1000000));
        else if (stage == SHUTDOWN_DONE) {
                log_info("The pods have ended; the machine goes down");
                s->lock = safe_close(s->lock);
        }
}

static int on_timer(sd_event_source *timer, uint64_t usec, void *userdata) {
        struct shutdown *s = userdata;
        const struct agent_config *c = &s->agent->config;
        struct pods *pods = s->agent->pods;
        struct shutdown_view v = {.since_us = s->since_us,
                        .total_us = c->shutdown_us,
                        .critical_us = c->shutdown_critical_us,
                        .in_touch = is_in_touch(s),
                        .ordinary_runs = pods_any_runs(pods, /* critical= */ false),
                        .any_runs = pods_any_runs(pods, /* critical= */ true),
                        .reported = !s->fail || pods_are_reported(pods)};
        enum shutdown_stage next = shutdown_next(s->stage, &v, now_mono_us());

        if (next != s->stage)
                enter(s, next);
        if (s->stage == SHUTDOWN_DONE)
                return 0;
        (void)sd_event_source_set_time_relative(timer, LOOK_US);
        return sd_event_source_set_enabled(timer, SD_EVENT_ONESHOT);
}

static void begin(struct shutdown *s) {
        int r;

        if (s->stage != SHUTDOWN_OFF)
                return;
        s->since_us = now_mono_us();
        pods_set_halting(s->agent->pods, true);
        if (s->agent->node)
                node_set_shutdown(s->agent->node, true);
        enter(s, s->agent->node ? SHUTDOWN_ASKING : SHUTDOWN_ORDINARY);
        s->timer = sd_event_source_disable_unref(s->timer);
        r = sd_event_add_time_relative(s->agent->event, &s->timer, CLOCK_MONOTONIC, LOOK_US,
                        /* accuracy= */ 0, on_timer, s);
        if (r < 0)
                enter(s, SHUTDOWN_DONE);
}

/* The shutdown was called off. */
static void cancel(struct shutdown *s) {
        if (s->stage == SHUTDOWN_OFF)
                return;
        s->stage = SHUTDOWN_OFF;
        s->timer = sd_event_source_disable_unref(s->timer);
        pods_set_halting(s->agent->pods, false);
        if (s->agent->node)
                node_set_shutdown(s->agent->node, false);
        if (s->lock < 0)
                (void)take_lock(s);
}

/* ---- logind ---- */

static int on_prepare(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct shutdown *s = userdata;
        int active = 0, r = sd_bus_message_read(m, "b", &active);

        if (r < 0)
                return 0;
        if (active)
                begin(s);
        else
                cancel(s);
        return 0;
}

/* Has logind read its configuration again. */
static int reload(struct shutdown *s) {
        return sd_bus_call_method_async(s->bus, NULL, "org.freedesktop.systemd1",
                        "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "KillUnit",
                        NULL, NULL, "ssi", LOGIND_UNIT, "main", (int32_t)SIGHUP);
}

static int raise_limit(struct shutdown *s, uint64_t delay_us) {
        _cleanup_free_ char *text = strformat("# Written by knodeagent, for its "
                                              "--shutdown-grace-period.\n[Login]\n"
                                              "InhibitDelayMaxSec=%llu\n",
                        (unsigned long long)(delay_us + 999999) / 1000000);
        int r = text ? mkdir_parents(DROP_IN_DIR, 0755) : -ENOMEM;

        if (r < 0)
                return r;
        r = file_write_atomic(DROP_IN, text, strlen(text), 0644);
        return r < 0 ? r : reload(s);
}

static int on_limit(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct shutdown *s = userdata;
        uint64_t limit, wanted = shutdown_delay_us(s->agent->config.shutdown_us);
        int r;

        s->call = sd_bus_slot_unref(s->call);
        if (sd_bus_message_is_method_error(m, NULL) ||
                        sd_bus_message_read(m, "v", "t", &limit) < 0 || limit >= wanted ||
                        s->raised)
                return 0;
        s->raised = true;
        r = raise_limit(s, wanted);
        if (r < 0)
                log_warning_errno(r, "Cannot write " DROP_IN "; logind waits %llu s for pods",
                                (unsigned long long)limit / 1000000);
        return 0;
}

static void check_limit(struct shutdown *s) {
        (void)sd_bus_call_method_async(s->bus, &s->call, LOGIND, LOGIND_PATH,
                        "org.freedesktop.DBus.Properties", "Get", on_limit, s, "ss",
                        LOGIND_INTERFACE, "InhibitDelayMaxUSec");
}

static int on_lock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct shutdown *s = userdata;
        int fd = -EBADF;

        s->call = sd_bus_slot_unref(s->call);
        if (sd_bus_message_is_method_error(m, NULL)) {
                log_debug("logind does not run: pods get no time of their own at a shutdown");
                return 0;
        }
        if (sd_bus_message_read(m, "h", &fd) < 0)
                return 0;
        safe_close(s->lock);
        s->lock = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        check_limit(s);
        return 0;
}

static int lock_message(struct shutdown *s, sd_bus_message **ret) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = sd_bus_message_new_method_call(
                        s->bus, &m, LOGIND, LOGIND_PATH, LOGIND_INTERFACE, "Inhibit");

        if (r < 0)
                return r;
        /* A machine without logind stays without it. */
        r = sd_bus_message_set_auto_start(m, 0);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ssss", "shutdown", "keelson", "Pods end first", "delay");
        if (r < 0)
                return r;
        *ret = TAKE_PTR(m);
        return 0;
}

static int take_lock(struct shutdown *s) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        int r = lock_message(s, &m);

        if (r < 0)
                return r;
        s->call = sd_bus_slot_unref(s->call);
        return sd_bus_call_async(s->bus, &s->call, m, on_lock, s, /* default timeout */ 0);
}

/* logind has come or gone. */
static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        const char *name, *old, *new;
        struct shutdown *s = userdata;

        if (sd_bus_message_read(m, "sss", &name, &old, &new) >= 0 && *new)
                (void)take_lock(s);
        return 0;
}

static int subscribe(struct shutdown *s) {
        int r = sd_bus_match_signal_async(s->bus, &s->signal, LOGIND, LOGIND_PATH, LOGIND_INTERFACE,
                        "PrepareForShutdown", on_prepare, NULL, s);

        if (r < 0)
                return r;
        return sd_bus_add_match_async(s->bus, &s->owner,
                        "type='signal',sender='org.freedesktop.DBus',"
                        "interface='org.freedesktop.DBus',member='NameOwnerChanged',"
                        "arg0='" LOGIND "'",
                        on_owner, NULL, s);
}

int shutdown_new(struct shutdown **ret, struct agent *agent) {
        _cleanup_(shutdown_freep) struct shutdown *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->agent = agent;
        s->lock = -EBADF;
        r = units_system_bus(agent->units, &s->bus);
        if (r < 0)
                return r;
        if (agent->config.shutdown_us > 0) {
                r = subscribe(s);
                if (r < 0)
                        return r;
                r = take_lock(s);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(s);
        return 0;
}

struct shutdown *shutdown_free(struct shutdown *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->timer);
        sd_bus_slot_unref(s->signal);
        sd_bus_slot_unref(s->owner);
        sd_bus_slot_unref(s->call);
        safe_close(s->lock);
        free(s);
        return NULL;
}
