/* systemd's words for the state of a unit -> struct run_state. Pure. */
#include <signal.h>
#include <sys/wait.h>

#include "nodeagent/runtime/systemd.h"

enum { START_FAILED_CODE = 128 }; /* as with container runtimes */

/* The exit statuses that systemd itself sets before a program runs (systemd.exec(5), PROCESS EXIT
 * CODES), in words for a user. */
static const char *start_failure(int status) {
        static const struct {
                int status;
                const char *text;
        } rows[] = {{200, "the working directory cannot be entered (200/CHDIR)"},
                        {203, "the command cannot be executed: is it there, and executable? "
                              "(203/EXEC)"},
                        {209, "the log cannot be opened (209/STDOUT)"},
                        {216, "the group cannot be used (216/GROUP)"},
                        {217, "the user cannot be used (217/USER)"},
                        {218, "the capabilities cannot be set (218/CAPABILITIES)"},
                        {219, "the control group cannot be joined (219/CGROUP)"},
                        {225, "the pod's network namespace cannot be joined (225/NETWORK)"},
                        {226, "the mounts cannot be set up: is each volume and mount point there? "
                              "(226/NAMESPACE)"},
                        {228, "the system call filter cannot be set (228/SECCOMP)"},
                        {243, "the credentials cannot be set up (243/CREDENTIALS)"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (rows[i].status == status)
                        return rows[i].text;
        return NULL;
}

static enum run_phase phase_of(const struct unit_state *u) {
        if (startswith(u->sub, "auto-restart")) /* -queued: of systemd 254 and later */
                return RUN_RESTARTING;
        if (streq(u->active, "failed"))
                return RUN_FAILED;
        if (streq(u->active, "inactive"))
                return RUN_STOPPED;
        if (streq(u->active, "deactivating"))
                return RUN_STOPPING;
        if (streq(u->sub, "exited"))
                return RUN_EXITED;
        /* "start": systemd still executes the program, or waits for its sd_notify(3). */
        if (streq(u->active, "activating") && (streq(u->sub, "start") || u->main_pid == 0))
                return RUN_STARTING;
        return RUN_RUNNING;
}

static enum run_cause cause_of(const char *result) {
        if (streq(result, "oom-kill"))
                return RUN_CAUSE_OUT_OF_MEMORY;
        if (streq(result, "timeout"))
                return RUN_CAUSE_TIMEOUT;
        return streq(result, "watchdog") ? RUN_CAUSE_WATCHDOG : RUN_CAUSE_OWN;
}

/* ExecStartPost: systemd keeps the first failure as the unit's result, and then stops the main
 * process. So it is known where the main process cannot have had that result; one that exits with
 * an error itself on SIGTERM hides it. */
static bool hook_has_failed(const struct unit_state *u) {
        bool exited = u->exec_code == CLD_EXITED;

        if (u->exec_code == 0)
                return false;
        if (streq(u->result, "exit-code"))
                return !exited || u->exec_status == 0;
        return exited && (streq(u->result, "signal") || streq(u->result, "core-dump"));
}

static void service_state(const struct unit_state *u, struct run_state *ret) {
        struct run_state s = {.phase = phase_of(u),
                        .alive = u->main_pid != 0,
                        .pid = u->main_pid,
                        .ready = streq(u->active, "active") || streq(u->active, "reloading"),
                        .ended = u->exec_code != 0,
                        .given_up = streq(u->result, "start-limit-hit"),
                        .cause = cause_of(u->result),
                        .hook_failed = hook_has_failed(u),
                        .owner = u->slice,
                        .description = u->description,
                        .restarts = u->restarts,
                        .start_us = u->start_us,
                        .exit_us = u->exit_us};

        memcpy(s.id, u->invocation, sizeof(s.id));
        if (u->exec_code == CLD_EXITED) {
                s.exit_code = u->exec_status;
                s.start_failure = start_failure(u->exec_status);
        } else if (u->exec_code == CLD_KILLED || u->exec_code == CLD_DUMPED) {
                s.signal = u->exec_status;
                s.exit_code = 128 + u->exec_status;
        }
        *ret = s;
}

/* Why systemd does not listen, by the socket's result. */
static const char *socket_failure(const char *result) {
        static const struct {
                const char *result, *text;
        } rows[] = {{"trigger-limit-hit", "connections start the program too often: does it end "
                                          "without accepting them?"},
                        {"service-start-limit-hit", "the program was started too often: does it "
                                                    "end right after each connection?"}};

        for (size_t i = 0; i < ELEMENTS(rows); i++)
                if (streq(rows[i].result, result))
                        return rows[i].text;
        return "systemd cannot listen on the container's ports: is one of them in use in the pod's "
               "network?";
}

/* The service does not run: what the socket does is what the container does. */
static void socket_state(const struct unit_state *socket, struct run_state *s) {
        if (streq(socket->active, "active")) {
                s->phase = RUN_ASLEEP;
        } else if (streq(socket->active, "failed")) {
                s->phase = RUN_FAILED;
                s->given_up = s->ended = true;
                s->signal = 0;
                s->exit_code = START_FAILED_CODE;
                s->start_failure = socket_failure(socket->result);
                memcpy(s->id, socket->invocation, sizeof(s->id));
        } else if (streq(socket->active, "activating")) {
                s->phase = RUN_STARTING;
        }
}

void systemd_run_state(const struct unit_state *unit, const struct unit_state *socket,
                struct run_state *ret) {
        static const struct unit_state none = {.active = "inactive"};

        assert(unit || socket);
        service_state(unit ? unit : &none, ret);
        if (!socket)
                return;
        if (!*ret->owner)
                ret->owner = socket->slice;
        if (!*ret->description)
                ret->description = socket->description;
        if (ret->phase == RUN_STOPPED)
                socket_state(socket, ret);
}
