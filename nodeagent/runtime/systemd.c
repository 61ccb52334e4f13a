/* The driver: each operation is one call of the manager (units.c), each state a translation of what
 * its signals said (systemd-state.c). */
#include "nodeagent/runtime/systemd.h"

#include <systemd/sd-journal.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "nodeagent/logs/log-collect.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/logs/logs.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/adopted.h"

struct systemd {
        struct runtime runtime;
        struct units *units;
        struct adopted *adopted; /* containers that are units of the machine */
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

/* "a.service" -> "a.socket" and back. Caller frees; NULL: no memory. */
static char *partner_of(const char *name) {
        const char *dot = strrchr(name, '.');

        return strformat("%.*s.%s", (int)(dot ? (size_t)(dot - name) : strlen(name)), name,
                        streq_ptr(dot, ".socket") ? "service" : "socket");
}

static int adopted_state(struct systemd *s, const char *name, struct run_state *ret) {
        const struct adopted_unit *u = adopted_get(s->adopted, name);

        if (!u)
                return 0;
        systemd_run_state(&u->state, /* socket= */ NULL, ret);
        ret->owner = ret->description = "";
        ret->trouble = u->trouble;
        return 1;
}

/* The state of a container by its service and, where it has one, its socket. 1; 0 when it is not
 * there, or not wholly known yet. */
static int state_of(struct systemd *s, const char *name, struct run_state *ret) {
        _cleanup_free_ char *partner = partner_of(name);
        const struct unit_state *unit = units_get(s->units, name),
                                *socket = partner ? units_get(s->units, partner) : NULL;

        if (adopted_has(s->adopted, name))
                return adopted_state(s, name, ret);
        if ((!unit && !socket) || !partner || units_is_awaited(s->units, partner))
                return 0;
        systemd_run_state(unit, socket, ret);
        return 1;
}

static void on_change(const char *name, const struct unit_state *unit, void *userdata) {
        struct systemd *s = userdata;
        _cleanup_free_ char *service = endswith(name, ".socket") ? partner_of(name) : strdup(name);
        _cleanup_free_ char *socket = service ? partner_of(service) : NULL;
        struct run_state state;

        /* After a restart of the agent the two become known one after the other. */
        if (!socket || units_is_awaited(s->units, socket))
                return;
        s->callbacks.on_change(service, state_of(s, service, &state) > 0 ? &state : NULL,
                        s->callbacks.userdata);
}

static void on_adopted_change(const char *name, void *userdata) {
        struct systemd *s = userdata;
        struct run_state state;

        if (adopted_state(s, name, &state) > 0)
                s->callbacks.on_change(name, &state, s->callbacks.userdata);
}

static struct runtime *systemd_free(struct runtime *r) {
        adopted_free(of(r)->adopted);
        units_free(of(r)->units);
        free(of(r));
        return NULL;
}

/* Makes sure that the socket to which the unit writes has a listener. */
static void ensure_logs(struct systemd *s, const json_t *unit) {
        int r = json_at(unit, "adopt") ? 0 : log_sockets_ensure(s->log_sockets, unit);

        if (r < 0)
                log_warning_errno(r, "Cannot make the log socket of %s",
                                json_str_or(unit, "name", ""));
}

static int systemd_prepare(struct runtime *r, const json_t *plan) {
        static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
        const json_t *unit;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_at(plan, lists[l]), i, unit)
                        if (json_object_get(unit, "properties"))
                                ensure_logs(of(r), unit);
        return units_start_slice(of(r)->units, json_at(plan, "slice"));
}

static int systemd_start(struct runtime *r, const json_t *plan, const json_t *unit) {
        int k;

        if (json_at(unit, "adopt"))
                return adopted_call(of(r)->adopted, json_str_or(unit, "name", ""), "StartUnit");
        /* The slice may have been stopped since it was prepared. */
        k = units_start_slice(of(r)->units, json_at(plan, "slice"));
        if (k < 0)
                return k;
        k = json_at(plan, "share") ? units_start_slice(of(r)->units, json_at(plan, "share")) : 0;
        return k < 0 ? k : units_start(of(r)->units, unit);
}

/* The socket first: it would start the service again. */
static int systemd_stop(struct runtime *r, const char *name) {
        _cleanup_free_ char *socket = partner_of(name);
        int k;

        if (!socket)
                return -ENOMEM;
        if (adopted_has(of(r)->adopted, name))
                return adopted_call(of(r)->adopted, name, "StopUnit");
        if (units_get(of(r)->units, socket)) {
                k = units_stop(of(r)->units, socket);
                if (k < 0)
                        return k;
        }
        return units_stop(of(r)->units, name);
}

static int systemd_restart(struct runtime *r, const char *name) {
        return adopted_has(of(r)->adopted, name) ? adopted_call(of(r)->adopted, name, "RestartUnit")
                                                 : units_restart(of(r)->units, name);
}

static int systemd_kill(struct runtime *r, const char *name, int signal) {
        return adopted_has(of(r)->adopted, name) ? adopted_kill(of(r)->adopted, name, signal)
                                                 : units_kill(of(r)->units, name, signal);
}

static int systemd_clear(struct runtime *r, const char *name) {
        _cleanup_free_ char *socket = partner_of(name);
        const struct unit_state *state = socket ? units_get(of(r)->units, socket) : NULL;
        int k;

        if (!socket)
                return -ENOMEM;
        if (adopted_has(of(r)->adopted, name))
                return adopted_call(of(r)->adopted, name, "ResetFailedUnit");
        /* Also one that still listens: the container is made again with both. */
        if (state) {
                k = streq(state->active, "failed") ? units_reset_failed(of(r)->units, socket)
                                                   : units_stop(of(r)->units, socket);
                if (k < 0)
                        return k;
        }
        return units_reset_failed(of(r)->units, name);
}

static int systemd_state(struct runtime *r, const char *name, struct run_state *ret) {
        return state_of(of(r), name, ret);
}

static int systemd_usage(
                struct runtime *r, const char *name, runtime_usage_func done, void *userdata) {
        return units_usage(of(r)->units, adopted_name(of(r)->adopted, name), name, done, userdata);
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

/* The driver's own handle is the manager's call. */
static int systemd_limit(struct runtime *r, const char *name, const json_t *properties,
                runtime_limit_func done, void *userdata, struct runtime_limit **ret) {
        struct units_limit *l = NULL;
        int k = units_limit(of(r)->units, name, properties, done, userdata, &l);

        if (k >= 0 && ret)
                *ret = (struct runtime_limit *)l;
        return k;
}

static struct runtime_limit *systemd_limit_cancel(struct runtime *r, struct runtime_limit *l) {
        units_limit_cancel((struct units_limit *)l);
        return NULL;
}

struct runtime_stream {
        struct units_stream *run;
        runtime_stream_func done;
        void *userdata;
};

static void on_stream_done(
                enum units_stream_end end, int exit_code, const char *message, void *userdata) {
        static const enum exec_outcome outcomes[] = {[UNITS_STREAM_EXITED] = EXEC_DONE,
                        [UNITS_STREAM_NOT_STARTED] = EXEC_FAILED,
                        [UNITS_STREAM_REFUSED] = EXEC_REFUSED};
        struct runtime_stream *x = userdata;
        runtime_stream_func done = x->done;
        void *about = x->userdata;

        free(x);
        done(outcomes[end], exit_code, message, about);
}

static int systemd_stream(struct runtime *r, const json_t *unit, const int fds[3],
                runtime_stream_func done, void *userdata, struct runtime_stream **ret) {
        struct runtime_stream *x = calloc(1, sizeof(*x));
        int k;

        if (!x)
                return -ENOMEM;
        *x = (struct runtime_stream){.done = done, .userdata = userdata};
        k = units_stream_start(of(r)->units, unit, fds, on_stream_done, x, &x->run);
        if (k < 0) {
                free(x);
                return k;
        }
        *ret = x;
        return 0;
}

static struct runtime_stream *systemd_stream_cancel(struct runtime *r, struct runtime_stream *x) {
        units_stream_cancel(x->run);
        free(x);
        return NULL;
}

static int systemd_stream_sweep(struct runtime *r) {
        return units_stream_sweep(of(r)->units);
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

static int find_end(sd_journal *j, const char *id) {
        _cleanup_free_ char *ended = strformat(LOG_COLLECT_END "=%s", id);
        int r = ended ? sd_journal_add_match(j, ended, 0) : -ENOMEM;

        if (r < 0)
                return r;
        r = sd_journal_add_match(j, "_SYSTEMD_UNIT=" LOG_COLLECT_UNIT, 0);
        if (r < 0)
                return r;
        r = sd_journal_seek_tail(j);
        return r < 0 ? r : sd_journal_previous(j);
}

static bool systemd_logs_are_complete(struct runtime *r, const char *id) {
        sd_journal *j = NULL;
        bool found;

        if (sd_journal_open(&j, SD_JOURNAL_LOCAL_ONLY) < 0)
                return false;
        found = find_end(j, id) > 0;
        sd_journal_close(j);
        return found;
}

struct listing {
        runtime_list_func func;
        void *userdata;
};

static void list_one(const char *name, const struct unit_state *state, void *userdata) {
        struct listing *l = userdata;
        _cleanup_free_ char *service = endswith(name, ".socket") ? partner_of(name) : NULL;

        /* Commands of probes and hooks end by themselves; shares have an owner of their own. */
        if (!startswith(name, "kpodx-") && !startswith(name, SHARE_UNIT_PREFIX))
                l->func(service ? service : name, endswith(name, ".slice") != NULL, l->userdata);
}

static void systemd_list(struct runtime *r, runtime_list_func func, void *userdata) {
        struct listing l = {func, userdata};

        units_each(of(r)->units, list_one, &l);
}

static int systemd_check(
                struct runtime *r, const json_t *unit, runtime_drift_func func, void *userdata) {
        const char *name = json_str_or(unit, "name", "");

        if (json_at(unit, "adopt")) {
                if (adopted_is_limited(of(r)->adopted, name, json_at(unit, "properties")))
                        return 0;
                if (!func(name, "the drop-in file", userdata))
                        return 0;
                return adopted_limit(of(r)->adopted, name, json_at(unit, "properties"));
        }
        ensure_logs(of(r), unit);
        if (!units_get(of(r)->units, json_str_or(unit, "name", "")))
                return 0;
        return units_check(of(r)->units, unit, func, userdata);
}

static int systemd_adopt(struct runtime *r, const char *name, const char *unit, bool managed) {
        return adopted_add(of(r)->adopted, name, unit, managed);
}

static int systemd_adopt_limit(struct runtime *r, const char *name, const json_t *properties) {
        return adopted_limit(of(r)->adopted, name, properties);
}

static void systemd_adopt_release(struct runtime *r, const char *name) {
        adopted_remove(of(r)->adopted, name);
}

static void systemd_adopt_sweep(struct runtime *r) {
        adopted_sweep(of(r)->adopted);
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
                .limit = systemd_limit,
                .limit_cancel = systemd_limit_cancel,
                .stream = systemd_stream,
                .stream_cancel = systemd_stream_cancel,
                .stream_sweep = systemd_stream_sweep,
                .logs = systemd_logs,
                .logs_are_complete = systemd_logs_are_complete,
                .list = systemd_list,
                .check = systemd_check,
                .adopt = systemd_adopt,
                .adopt_limit = systemd_adopt_limit,
                .adopt_release = systemd_adopt_release,
                .adopt_sweep = systemd_adopt_sweep,
                .remove = systemd_remove};

static void on_start_error(const char *name, const char *message, void *userdata) {
        struct systemd *s = userdata;

        s->callbacks.on_start_error(name, message, s->callbacks.userdata);
}

static void on_reloaded(void *userdata) {
        struct systemd *s = userdata;

        adopted_refresh(s->adopted);
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

static int connect_units(struct systemd *s, sd_event *event) {
        struct units_callbacks callbacks = {.on_change = on_change,
                        .on_start_error = on_start_error,
                        .on_reloaded = on_reloaded,
                        .on_listed = on_listed,
                        .on_lost = on_lost,
                        .userdata = s};
        struct adopted_callbacks adopted = {.on_change = on_adopted_change,
                        .on_refused = on_start_error,
                        .userdata = s};
        int r = units_new(&s->units, event, &callbacks);

        return r < 0 ? r : adopted_new(&s->adopted, s->units, &adopted);
}

int systemd_runtime_new(struct runtime **ret, const struct systemd_options *options) {
        struct systemd *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->runtime.ops = &systemd_ops;
        s->log_sockets = options->log_sockets;
        s->callbacks = options->callbacks;
        r = connect_units(s, options->event);
        if (r < 0) {
                (void)systemd_free(&s->runtime);
                return r;
        }
        *ret = &s->runtime;
        return 0;
}

struct units *systemd_runtime_units(struct runtime *r) {
        assert(r->ops == &systemd_ops);
        return of(r)->units;
}
