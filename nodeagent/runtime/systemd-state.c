/* systemd's words for the state of a unit -> struct run_state. Pure. */
#include <signal.h>
#include <sys/wait.h>

#include "nodeagent/runtime/systemd.h"

/* The exit statuses that systemd itself sets before a program runs (systemd.exec(5), PROCESS EXIT
 * CODES), in words for a user. */
static const char *start_failure(int status) {
        static const struct {
                int status;
                const char *text;
        } rows[] = {{200, "the working directory cannot be entered (200/CHDIR)"},
                        {203, "the command cannot be executed: is it there, and executable? "
                              "(203/EXEC)"},
                        {216, "the group cannot be used (216/GROUP)"},
                        {217, "the user cannot be used (217/USER)"},
                        {218, "the capabilities cannot be set (218/CAPABILITIES)"},
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
        if (streq(u->sub, "auto-restart"))
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

void systemd_run_state(const struct unit_state *u, struct run_state *ret) {
        struct run_state s = {.phase = phase_of(u),
                        .alive = u->main_pid != 0,
                        .ready = streq(u->active, "active") || streq(u->active, "reloading"),
                        .ended = u->exec_code != 0,
                        .given_up = streq(u->result, "start-limit-hit"),
                        .cause = cause_of(u->result),
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
