/* The driver: each operation is one call of the manager (units.c), each state a translation of what
 * its signals said (systemd-state.c). */
#include "nodeagent/runtime/systemd.h"

#include <systemd/sd-journal.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/plan/plan.h"

struct systemd {
        struct runtime runtime;
        struct units *units;
        struct log_sockets *log_sockets;
        struct runtime_callbacks callbacks;
};

struct runtime_exec {
        struct units_exec *run;
        runtime_exec_func done;
        void *userdata;
};

static struct systemd *of(struct runtime *r) {
        return container_of(r, struct systemd, runtime);
}

static void on_change(const char *name, const struct unit_state *unit, void *userdata) {
        struct systemd *s = userdata;
        struct run_state state;

        if (unit)
                systemd_run_state(unit, &state);
        s->callbacks.on_change(name, unit ? &state : NULL, s->callbacks.userdata);
}

static struct runtime *systemd_free(struct runtime *r) {
        units_free(of(r)->units);
        free(of(r));
        return NULL;
}

/* Makes sure that the socket to which the unit writes has a listener. */
static void ensure_logs(struct systemd *s, const json_t *unit) {
        int r = log_sockets_ensure(s->log_sockets, unit);

        if (r < 0)
                log_warning_errno(r, "Cannot make the log socket of %s",
                                json_str_or(unit, "name", ""));
}

static int systemd_prepare(struct runtime *r, const json_t *plan) {
        static const char *const lists[] = {"initContainers", "containers"};
        const json_t *unit;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(plan, lists[l]), i, unit)
                        ensure_logs(of(r), unit);
        return units_start_slice(of(r)->units, json_at(plan, "slice"));
}

static int systemd_start(struct runtime *r, const json_t *plan, const json_t *unit) {
        /* The slice may have been stopped since it was prepared. */
        int k = units_start_slice(of(r)->units, json_at(plan, "slice"));

        return k < 0 ? k : units_start(of(r)->units, unit);
}

static int systemd_stop(struct runtime *r, const char *name) {
        return units_stop(of(r)->units, name);
}

static int systemd_restart(struct runtime *r, const char *name) {
        return units_restart(of(r)->units, name);
}

static int systemd_kill(struct runtime *r, const char *name, int signal) {
        return units_kill(of(r)->units, name, signal);
}

static int systemd_clear(struct runtime *r, const char *name) {
        return units_reset_failed(of(r)->units, name);
}

static int systemd_state(struct runtime *r, const char *name, struct run_state *ret) {
        const struct unit_state *unit = units_get(of(r)->units, name);

        if (!unit)
                return 0;
        systemd_run_state(unit, ret);
        return 1;
}

static int systemd_usage(
                struct runtime *r, const char *name, runtime_usage_func done, void *userdata) {
        return units_usage(of(r)->units, name, done, userdata);
}

static void on_exec_done(const char *result, void *userdata) {
        static const struct {
                const char *result;
                enum exec_outcome outcome;
        } rows[] = {{"done", EXEC_DONE}, {"failed", EXEC_FAILED}, {"timeout", EXEC_TIMEOUT}};
        struct runtime_exec *x = userdata;
        runtime_exec_func done = x->done;
        void *about = x->userdata;

        free(x);
        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(rows[i].result, result)) {
                        done(rows[i].outcome, "", about);
                        return;
                }
        done(EXEC_REFUSED, result, about);
}

static int systemd_exec(struct runtime *r, const json_t *unit, runtime_exec_func done,
                void *userdata, struct runtime_exec **ret) {
        struct runtime_exec *x = calloc(1, sizeof(*x));
        int k;

        if (!x)
                return -ENOMEM;
        *x = (struct runtime_exec){.done = done, .userdata = userdata};
        k = units_exec_start(of(r)->units, unit, on_exec_done, x, &x->run);
        if (k < 0) {
                free(x);
                return k;
        }
        *ret = x;
        return 0;
}

static struct runtime_exec *systemd_exec_cancel(struct runtime *r, struct runtime_exec *x) {
        units_exec_cancel(x->run);
        free(x);
        return NULL;
}

static void prepend_line(struct buf *b, const void *data, size_t n) {
        _cleanup_buf_ struct buf joined = {0};
        const char *message = memchr(data, '=', n);

        if (!message)
                return;
        message++;
        buf_append(&joined, message, n - (size_t)(message - (const char *)data));
        buf_append_char(&joined, '\n');
        buf_append(&joined, b->size > 0 ? b->data : "", b->size);
        buf_reset(b);
        buf_append(b, joined.data, joined.size);
}

static char *systemd_logs(struct runtime *r, const char *uid, const char *container, const char *id,
                size_t lines_max, size_t size_max) {
        _cleanup_buf_ struct buf b = {0};
        sd_journal *j = NULL;
        const void *data;
        size_t n;

        if (!*id || sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
                return NULL;
        if (logs_match(j, uid, container, id) >= 0 && sd_journal_seek_tail(j) >= 0)
                for (size_t i = 0; i < lines_max && b.size < size_max && sd_journal_previous(j) > 0;
                                i++)
                        if (sd_journal_get_data(j, "MESSAGE", &data, &n) >= 0)
                                prepend_line(&b, data, n);
        sd_journal_close(j);
        if (b.failed || b.size == 0)
                return NULL;
        return strndup(b.data + (b.size > size_max ? b.size - size_max : 0), MIN(b.size, size_max));
}

struct listing {
        runtime_list_func func;
        void *userdata;
};

static void list_one(const char *name, const struct unit_state *state, void *userdata) {
        struct listing *l = userdata;

        /* Commands of probes and hooks end by themselves; shares have an owner of their own. */
        if (!startswith(name, "kpodx-") && !startswith(name, SHARE_UNIT_PREFIX))
                l->func(name, endswith(name, ".slice") != NULL, l->userdata);
}

static void systemd_list(struct runtime *r, runtime_list_func func, void *userdata) {
        struct listing l = {func, userdata};

        units_each(of(r)->units, list_one, &l);
}

static int systemd_check(
                struct runtime *r, const json_t *unit, runtime_drift_func func, void *userdata) {
        ensure_logs(of(r), unit);
        if (!units_get(of(r)->units, json_str_or(unit, "name", "")))
                return 0;
        return units_check(of(r)->units, unit, func, userdata);
}

static void systemd_remove(struct runtime *r, const char *uid, const char *sandbox,
                const char *const *containers, size_t count) {
        (void)units_stop(of(r)->units, sandbox);
        for (size_t i = 0; i < count; i++)
                log_sockets_remove(of(r)->log_sockets, uid, containers[i]);
}

static const struct runtime_ops systemd_ops = {.name = "systemd",
                .free = systemd_free,
                .prepare = systemd_prepare,
                .start = systemd_start,
                .stop = systemd_stop,
                .restart = systemd_restart,
                .kill = systemd_kill,
                .clear = systemd_clear,
                .state = systemd_state,
                .usage = systemd_usage,
                .exec = systemd_exec,
                .exec_cancel = systemd_exec_cancel,
                .logs = systemd_logs,
                .list = systemd_list,
                .check = systemd_check,
                .remove = systemd_remove};

static void on_start_error(const char *name, const char *message, void *userdata) {
        struct systemd *s = userdata;

        s->callbacks.on_start_error(name, message, s->callbacks.userdata);
}

static void on_reloaded(void *userdata) {
        struct systemd *s = userdata;

        s->callbacks.on_reloaded(s->callbacks.userdata);
}

static void on_listed(void *userdata) {
        struct systemd *s = userdata;

        log_debug("systemd %s lists the units of pods", units_version(s->units));
        s->callbacks.on_listed(s->callbacks.userdata);
}

static void on_lost(int error, void *userdata) {
        struct systemd *s = userdata;

        s->callbacks.on_lost(error, s->callbacks.userdata);
}

int systemd_runtime_new(struct runtime **ret, const struct systemd_options *options) {
        struct systemd *s = calloc(1, sizeof(*s));
        struct units_callbacks callbacks = {.on_change = on_change,
                        .on_start_error = on_start_error,
                        .on_reloaded = on_reloaded,
                        .on_listed = on_listed,
                        .on_lost = on_lost,
                        .userdata = s};
        int r;

        if (!s)
                return -ENOMEM;
        s->runtime.ops = &systemd_ops;
        s->log_sockets = options->log_sockets;
        s->callbacks = options->callbacks;
        r = units_new(&s->units, options->event, &callbacks);
        if (r < 0) {
                free(s);
                return r;
        }
        *ret = &s->runtime;
        return 0;
}

struct units *systemd_runtime_units(struct runtime *r) {
        assert(r->ops == &systemd_ops);
        return of(r)->units;
}
