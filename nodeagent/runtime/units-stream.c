/* Commands that get files: a transient service each, with its own matches, because nothing else
 * observes it. systemd puts the final state into the unit's last PropertiesChanged; the start's job
 * says whether the command was executed at all. The end is reported when both are known. */
#include "nodeagent/runtime/units.h"

#include <signal.h>
#include <systemd/sd-bus.h>

#include "lib/log.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/units-message.h"

#define MANAGER "org.freedesktop.systemd1"
#define MANAGER_PATH "/org/freedesktop/systemd1"
#define UNIT_PATH "/org/freedesktop/systemd1/unit"
#define MANAGER_INTERFACE "org.freedesktop.systemd1.Manager"

enum { CALL_TIMEOUT_US = 60 * 1000000, SYSTEMD_FAILURES = 200 };

struct units_stream {
        struct units *units;
        char *name;
        sd_bus_slot *properties, *jobs, *call;
        struct unit_state state;
        bool job_ended, started;
        units_stream_func done;
        void *userdata;
};

static struct units_stream *stream_free(struct units_stream *x) {
        if (!x)
                return NULL;
        sd_bus_slot_unref(x->properties);
        sd_bus_slot_unref(x->jobs);
        sd_bus_slot_unref(x->call);
        free(x->name);
        return mfree(x);
}
DEFINE_CLEANUP(struct units_stream *, stream_free);

static void finish(struct units_stream *x, enum units_stream_end end, int code, const char *why) {
        units_stream_func done = x->done;
        void *userdata = x->userdata;

        stream_free(x);
        done(end, code, why, userdata);
}

static void finish_maybe(struct units_stream *x) {
        bool failed = streq(x->state.active, "failed");
        char why[256];

        if (!x->job_ended || (!failed && !streq(x->state.active, "inactive")) ||
                        (!failed && x->state.exec_code == 0))
                return;
        /* The start of a command that ends at once may count as failed; systemd's own failures
         * before the command have exit codes from SYSTEMD_FAILURES on. */
        if (x->started || x->state.exec_code != CLD_EXITED ||
                        x->state.exec_status < SYSTEMD_FAILURES) {
                finish(x, UNITS_STREAM_EXITED,
                                x->state.exec_code == CLD_EXITED ? x->state.exec_status
                                                                 : 128 + x->state.exec_status,
                                "");
                return;
        }
        snprintf(why, sizeof(why),
                        "the container's sandbox could not be entered (systemd: %s, status %d)",
                        x->state.result, x->state.exec_status);
        finish(x, UNITS_STREAM_NOT_STARTED, 0, why);
}

static int on_properties(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units_stream *x = userdata;
        const char *interface;

        if (sd_bus_message_read(m, "s", &interface) < 0 || units_read_properties(m, &x->state) < 0)
                return 0;
        /* As in units.c: the interface Unit comes last. */
        if (streq(interface, MANAGER ".Unit"))
                finish_maybe(x);
        return 0;
}

static int on_job_removed(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units_stream *x = userdata;
        const char *path, *name, *result;
        uint32_t id;

        if (x->job_ended || sd_bus_message_read(m, "uoss", &id, &path, &name, &result) < 0 ||
                        !streq(name, x->name))
                return 0;
        x->job_ended = true;
        x->started = streq(result, "done");
        finish_maybe(x);
        return 0;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units_stream *x = userdata;
        const sd_bus_error *e = sd_bus_message_get_error(m);

        if (e)
                finish(x, UNITS_STREAM_REFUSED, 0, strempty(e->message));
        return 0;
}

static int append_files(sd_bus_message *m, const int fds[3]) {
        static const struct {
                const char *file, *none, *value;
        } rows[] = {{"StandardInputFileDescriptor", "StandardInput", "null"},
                        {"StandardOutputFileDescriptor", "StandardOutput", "null"},
                        {"StandardErrorFileDescriptor", "StandardError", "null"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++) {
                int r = fds[i] >= 0 ? sd_bus_message_append(m, "(sv)", rows[i].file, "h", fds[i])
                                    : sd_bus_message_append(
                                                      m, "(sv)", rows[i].none, "s", rows[i].value);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int append_all(sd_bus_message *m, const json_t *unit, const int fds[3]) {
        const char *key;
        json_t *value;
        int r = sd_bus_message_open_container(m, 'a', "(sv)");

        if (r < 0)
                return r;
        json_object_each (json_at(unit, "properties"), key, value) {
                r = units_append_property(m, key, value);
                if (r < 0)
                        return r;
        }
        r = sd_bus_message_append(m, "(sv)", "PartOf", "as", 1, json_str_or(unit, "partOf", ""));
        if (r < 0)
                return r;
        r = append_files(m, fds);
        return r < 0 ? r : sd_bus_message_close_container(m);
}

static int send_start(struct units_stream *x, const json_t *unit, const int fds[3]) {
        _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
        sd_bus *bus = units_bus(x->units);
        int r = sd_bus_message_new_method_call(
                        bus, &m, MANAGER, MANAGER_PATH, MANAGER_INTERFACE, "StartTransientUnit");

        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "ss", x->name, "replace");
        if (r < 0)
                return r;
        r = append_all(m, unit, fds);
        if (r < 0)
                return r;
        r = sd_bus_message_append(m, "a(sa(sv))", 0);
        if (r < 0)
                return r;
        return sd_bus_call_async(bus, &x->call, m, on_answer, x, CALL_TIMEOUT_US);
}

static int subscribe(struct units_stream *x) {
        sd_bus *bus = units_bus(x->units);
        _cleanup_free_ char *path = NULL;
        int r = sd_bus_path_encode(UNIT_PATH, x->name, &path);

        if (r < 0)
                return r;
        r = sd_bus_match_signal_async(bus, &x->properties, units_sender(x->units), path,
                        "org.freedesktop.DBus.Properties", "PropertiesChanged", on_properties, NULL,
                        x);
        if (r < 0)
                return r;
        return sd_bus_match_signal_async(bus, &x->jobs, units_sender(x->units), MANAGER_PATH,
                        MANAGER_INTERFACE, "JobRemoved", on_job_removed, NULL, x);
}

int units_stream_start(struct units *u, const json_t *unit, const int fds[3],
                units_stream_func done, void *userdata, struct units_stream **ret) {
        _cleanup_(stream_freep) struct units_stream *x = calloc(1, sizeof(*x));
        int r;

        if (!x)
                return -ENOMEM;
        x->units = u;
        x->done = done;
        x->userdata = userdata;
        x->name = strdup(json_str_or(unit, "name", ""));
        if (!x->name)
                return -ENOMEM;
        assert(startswith(x->name, POD_STREAM_PREFIX));
        r = subscribe(x);
        if (r < 0)
                return r;
        r = send_start(x, unit, fds);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(x);
        return 0;
}

static int stop(struct units *u, const char *name) {
        return sd_bus_call_method_async(units_bus(u), NULL, MANAGER, MANAGER_PATH,
                        MANAGER_INTERFACE, "StopUnit", NULL, NULL, "ss", name, "replace");
}

struct units_stream *units_stream_cancel(struct units_stream *x) {
        if (!x)
                return NULL;
        (void)stop(x->units, x->name);
        return stream_free(x);
}

static int stop_listed(struct units *u, sd_bus_message *m) {
        const char *name;
        int r = sd_bus_message_enter_container(m, 'a', "(ssssssouso)");

        if (r < 0)
                return r;
        while ((r = sd_bus_message_enter_container(m, 'r', "ssssssouso")) > 0) {
                r = sd_bus_message_read(m, "s", &name);
                if (r < 0)
                        return r;
                r = stop(u, name);
                if (r < 0)
                        return r;
                r = sd_bus_message_skip(m, "sssssouso");
                if (r < 0)
                        return r;
                r = sd_bus_message_exit_container(m);
                if (r < 0)
                        return r;
        }
        return r;
}

static int on_list(sd_bus_message *m, void *userdata, sd_bus_error *error) {
        struct units *u = userdata;
        int r = sd_bus_message_is_method_error(m, NULL) ? -EIO : stop_listed(u, m);

        if (r < 0)
                log_warning_errno(r, "Cannot end the commands that an earlier agent has left");
        return 0;
}

int units_stream_sweep(struct units *u) {
        return sd_bus_call_method_async(units_bus(u), NULL, MANAGER, MANAGER_PATH,
                        MANAGER_INTERFACE, "ListUnitsByPatterns", on_list, u, "asas", 0, 1,
                        POD_STREAM_PREFIX "*.service");
}
