/* One container of a living pod. The runtime restarts it by itself; from here come its first start,
 * the start after a growing pause when the runtime has given up, restarts that probes ask for, and
 * the SIGKILL when a stop takes too long. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/restart.h"
#include "nodeagent/pod/decide.h"

enum {
        RETRY_US = 5 * 1000000,
        BACKOFF_MIN_US = 10 * 1000000,
        BACKOFF_MAX_US = 300 * 1000000,
        QUICK_US = 1000000, /* the first pause, where the runtime does not restart by itself */
        REFUSED_MIN_US = 1000000,
        HEALTHY_US = 600 * 1000000,  /* a run as long as this resets the pause */
        AFTER_HOOK_US = 2 * 1000000, /* for a stop after a hook that took all the time */
        FAILED_US = 500000,          /* failed for this long: the runtime does not restart it */
        FAILED_ASKED_US = 5000000,   /* likewise, after it was asked for a restart */
        REPORT_US = 10 * 1000000,    /* kpod-exec reports a start within this time, also on a busy
                                        machine ... */
        REPORT_LOOK_US = 20000,      /* ... and this is how often its report is looked for */
};

void container_memory_not_started(struct container_memory *m, uint64_t now_us) {
        m->retry_us = now_us + RETRY_US;
}

void container_memory_refused(struct container_memory *m, uint64_t now_us) {
        m->backoff_us = m->backoff_us == 0 ? REFUSED_MIN_US
                                           : MIN(m->backoff_us * 2, (uint64_t)BACKOFF_MAX_US);
        m->retry_us = now_us + m->backoff_us;
        assert(m->backoff_us >= REFUSED_MIN_US && m->backoff_us <= BACKOFF_MAX_US);
}

static const struct container_view *view_of(const struct decide *d, size_t i) {
        assert(i < d->v->count);
        return &d->v->containers[i];
}

static struct container_memory *memory_of(struct decide *d, size_t i) {
        assert(i < d->v->count);
        return &d->out->containers[i];
}

static bool restarts_never(const struct decide *d, const struct container_view *c) {
        return !c->record->sidecar &&
               streq(container_restart_policy(d->v->object, c->spec), "Never");
}

void decide_stop_probes(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);

        for (size_t k = 0; k < PROBE_KINDS; k++)
                if (c->probes[k] != PROBE_OFF) {
                        action_container(&d->out->actions, CONTAINER_PROBES_STOP, c->record->name);
                        return;
                }
}

/* A root with a writable layer is made new before each start: the runtime does not start the
 * container again by itself then. */
static void send_end(struct decide *d, size_t i, bool restart) {
        const struct container_view *c = view_of(d, i);

        action_container(&d->out->actions,
                        restart && !c->image.layered ? CONTAINER_RESTART : CONTAINER_STOP,
                        c->record->name);
}

/* Stops the container, or restarts it, after its preStop hook; SIGKILL when all of it takes longer
 * than grace_s seconds. */
static void end(struct decide *d, size_t i, bool restart, int64_t grace_s) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        assert(c->there);
        decide_stop_probes(d, i);
        m->restarting = true;
        m->kill_us = d->v->now_us + seconds_us(MAX(grace_s, INT64_C(1)));
        memcpy(m->kill_of, c->run.id, sizeof(m->kill_of));
        decide_wake(d, m->kill_us);
        if (!c->run.alive || decide_pre_stop_done(d, i, d->v->now_us)) {
                send_end(d, i, restart);
                return;
        }
        m->ending = restart ? ENDING_RESTART : ENDING_STOP;
        m->hook_us = d->v->now_us;
}

bool decide_is_asked(const struct decide *d, size_t i) {
        const struct container_memory *m = &d->out->containers[i];

        return m->restarting && streq(m->kill_of, view_of(d, i)->run.id);
}

void decide_stop(struct decide *d, size_t i) {
        end(d, i, /* restart= */ false,
                        d->v->stop_grace_s >= 0 ? d->v->stop_grace_s : pod_grace_s(d->v->object));
}

/* The hook has ended or its time is over. A run that ended meanwhile is not restarted from here. */
static void end_after_hook(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);
        bool same = c->run.alive && streq(c->run.id, m->kill_of);

        if (m->ending == ENDING_NONE)
                return;
        if (same && d->v->now_us < m->kill_us && !decide_pre_stop_done(d, i, m->hook_us))
                return;
        if (same && d->v->now_us >= m->kill_us)
                m->kill_us = d->v->now_us + AFTER_HOOK_US;
        if (same || m->ending == ENDING_STOP)
                send_end(d, i, m->ending == ENDING_RESTART);
        m->ending = ENDING_NONE;
}

/* The runtime's own time-out is the longest that any reason for a stop has. */
static void bound_stop(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        if (m->kill_us == 0)
                return;
        if (!streq(c->run.id, m->kill_of) || !c->run.alive) {
                m->kill_us = 0;
                return;
        }
        if (d->v->now_us < m->kill_us) {
                decide_wake(d, m->kill_us);
                return;
        }
        m->kill_us = 0;
        action_container(&d->out->actions, CONTAINER_KILL, c->record->name);
}

void decide_continue_end(struct decide *d, size_t i) {
        end_after_hook(d, i);
        bound_stop(d, i);
}

/* ---- announcing runs ---- */

/* Why the start of this run failed ("" when that is not known); NULL: it went well. */
static const char *start_problem(const struct container_view *c, bool running) {
        const struct container_record *r = c->record;

        if (start_report_matches(&r->report, &c->run))
                return r->report.ran ? NULL : r->report.message;
        if (running)
                return NULL;
        /* The runtime itself could not start it. */
        if (r->phase != CONTAINER_TERMINATED && r->last)
                return strempty(json_str(r->last, "message"));
        return strempty(r->message);
}

/* Says once for each run how its start went. Returns 1 when that is known, 0 while kpod-exec has
 * yet to report. */
static int note_start(struct decide *d, size_t i, bool running) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);
        const struct container_record *r = c->record;
        const char *problem;

        if (!c->run.id[0] || streq(m->announced, c->run.id))
                return 1;
        if (running && !start_report_matches(&r->report, &c->run) &&
                        d->v->wall_us < c->run.start_us + REPORT_US) {
                decide_wake(d, d->v->now_us + REPORT_LOOK_US);
                return 0;
        }
        if (!running && !streq(c->run.id, r->invocation))
                return 1;
        memcpy(m->announced, c->run.id, sizeof(m->announced));
        problem = start_problem(c, running);
        if (!problem) {
                action_pod_event(&d->out->actions, "Normal", "Created", "Created container: %s",
                                r->name);
                action_pod_event(&d->out->actions, "Normal", "Started", "Started container %s",
                                r->name);
        } else if (*problem)
                action_pod_event(&d->out->actions, "Warning", "Failed", "Error: container %s: %s",
                                r->name, problem);
        return 1;
}

void decide_note_end(struct decide *d, size_t i) {
        (void)note_start(d, i, /* running= */ false);
}

/* ---- probes and hooks ---- */

static void restart_for(struct decide *d, size_t i, enum probe_kind kind) {
        const struct container_view *c = view_of(d, i);
        bool startup = kind == PROBE_STARTUP;
        const json_t *probe = json_at(c->spec, startup ? "startupProbe" : "livenessProbe");

        action_pod_event(&d->out->actions, "Normal", "Killing",
                        "Container %s failed %s probe, will be %s", c->record->name,
                        startup ? "startup" : "liveness",
                        restarts_never(d, c) ? "stopped" : "restarted");
        end(d, i, !restarts_never(d, c),
                        json_int_or(probe, "terminationGracePeriodSeconds",
                                        pod_grace_s(d->v->object)));
}

void decide_verdicts(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        if (c->probes[PROBE_READINESS] == PROBE_PASSED)
                m->ready = true;
        else if (c->probes[PROBE_READINESS] == PROBE_FAILED)
                m->ready = false;
        if (c->probes[PROBE_STARTUP] == PROBE_PASSED) {
                m->started = true;
                action_container(&d->out->actions, CONTAINER_STARTUP_PROBE_STOP, c->record->name);
        }
        if (m->restarting)
                return;
        if (c->probes[PROBE_STARTUP] == PROBE_FAILED)
                restart_for(d, i, PROBE_STARTUP);
        else if (c->probes[PROBE_LIVENESS] == PROBE_FAILED)
                restart_for(d, i, PROBE_LIVENESS);
        else if (c->post_start_failed) {
                action_pod_event(&d->out->actions, "Normal", "Killing", "FailedPostStartHook");
                end(d, i, !restarts_never(d, c), pod_grace_s(d->v->object));
        }
}

/* Starts the probes that are due. fresh: the run is new, and none of the probes is about it. */
static void ensure_probes(struct decide *d, size_t i, bool fresh) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);
        struct actions *a = &d->out->actions;
        bool off[PROBE_KINDS];

        for (size_t k = 0; k < PROBE_KINDS; k++)
                off[k] = fresh || c->probes[k] == PROBE_OFF;
        if (m->restarting || (c->record->init && !c->record->sidecar))
                return;
        if (!json_at(c->spec, "startupProbe"))
                m->started = true;
        else if (!m->started) {
                if (off[PROBE_STARTUP])
                        action_container(a, CONTAINER_PROBE_STARTUP, c->record->name);
                return;
        }
        /* Connections wait in the socket until the program takes them. */
        if (c->record->notify && !c->record->socket)
                m->ready = c->run.ready;
        else if (!json_at(c->spec, "readinessProbe"))
                m->ready = true;
        else if (off[PROBE_READINESS])
                action_container(a, CONTAINER_PROBE_READINESS, c->record->name);
        if (json_at(c->spec, "livenessProbe") && off[PROBE_LIVENESS])
                action_container(a, CONTAINER_PROBE_LIVENESS, c->record->name);
}

static bool post_start_pending(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);

        if (d->v->now_us >= c->post_start_until_us)
                return c->hook_busy;
        decide_wake(d, c->post_start_until_us);
        return true;
}

/* Whether the postStart hook of the present run is still to be done from here: postStart.exec
 * belongs to the container's unit itself. */
static bool post_start_is_due(const struct container_view *c, const struct container_memory *m) {
        const json_t *hook = json_at(c->spec, "lifecycle.postStart");

        return !streq(m->hooked, c->run.id) &&
               (json_at(hook, "sleep") || json_at(hook, "httpGet") || json_at(hook, "tcpSocket"));
}

static void note_hooked(const struct container_view *c, struct container_memory *m) {
        memcpy(m->hooked, c->run.id, sizeof(m->hooked));
}

/* The runtime has ended the run because its postStart.exec failed. */
static void note_failed_hook(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        if (!c->run.hook_failed || streq(m->hooked, c->run.id) ||
                        !json_at(c->spec, "lifecycle.postStart.exec"))
                return;
        note_hooked(c, m);
        action_pod_event(&d->out->actions, "Warning", "FailedPostStartHook",
                        "PostStartHook failed: container %s: the command failed", c->record->name);
        action_pod_event(&d->out->actions, "Normal", "Killing", "FailedPostStartHook");
}

/* A run that is seen for the first time. Returns 1 when it is the program's. */
static int begin_run(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        if (!note_start(d, i, /* running= */ true)) {
                m->ready = m->started = c->record->socket;
                return 0;
        }
        decide_stop_probes(d, i);
        /* An adopted container was ready before, and stays so until a probe says otherwise; so does
         * one that a connection has just started. */
        m->started = m->ready = c->record->socket || (!*m->seen && m->adopted);
        memcpy(m->seen, c->run.id, sizeof(m->seen));
        m->restarting = m->clearing = false;
        m->failed_us = 0;
        /* Also one that an agent before this one has begun: it runs at least once. */
        if (post_start_is_due(c, m)) {
                action_container(&d->out->actions, CONTAINER_POST_START, c->record->name);
                d->out->again = true;
        } else if (!post_start_pending(d, i))
                ensure_probes(d, i, /* fresh= */ true);
        /* An agent before this one was ended before the unit had what was granted; nothing
         * else may wake the pod. */
        if (!resources_are_same(c->record->resources, c->record->allocated))
                d->out->again = true;
        return 1;
}

static int decide_running(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);

        if (!streq(c->memory.seen, c->run.id))
                return begin_run(d, i);
        decide_verdicts(d, i);
        if (!post_start_pending(d, i)) {
                if (post_start_is_due(c, memory_of(d, i)))
                        note_hooked(c, memory_of(d, i));
                ensure_probes(d, i, /* fresh= */ false);
        }
        if (decide_container_resize(d, i))
                end(d, i, /* restart= */ true, pod_grace_s(d->v->object));
        return 1;
}

/* ---- ends and starts ---- */

/* Whether an ended container is to run again. */
static bool wants_restart(const struct decide *d, const struct container_view *c) {
        const struct container_record *r = c->record;

        if (r->ephemeral)
                return r->phase == CONTAINER_WAITING && !r->invocation[0];
        if (r->phase != CONTAINER_TERMINATED || r->sidecar)
                return true;
        /* Lost to a reboot or stopped manually, not its own exit; a rule may be about its code, and
         * the pod's phase waits for what it says (status.c). */
        if (streq_ptr(r->reason, "ContainerStatusUnknown") && !restarts_never(d, c))
                return true;
        return container_restarts(d->v->object, c->spec, r->init, r->exit_code);
}

static uint64_t next_backoff(const struct container_view *c, bool quick) {
        const struct container_record *r = c->record;
        uint64_t last = r->finished_us > r->started_us + HEALTHY_US ? 0 : c->memory.backoff_us;

        if (quick && last == 0)
                return QUICK_US;
        return last < BACKOFF_MIN_US ? BACKOFF_MIN_US : MIN(last * 2, (uint64_t)BACKOFF_MAX_US);
}

/* The runtime has given up (or may not restart it): a growing pause, then what is left of the run
 * is removed. Its removal wakes the pod, which then starts the container. exited: the runtime keeps
 * the container as one that has ended, not as one that failed. */
static void back_off(struct decide *d, size_t i, bool exited) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);
        struct actions *a = &d->out->actions;

        /* A start that failed before the container was there set a time without a pause. */
        if (m->retry_us == 0 || m->backoff_us == 0) {
                m->backoff_us = next_backoff(c, exited || restarts_never(d, c));
                m->retry_us = d->v->now_us + m->backoff_us;
                action_pod_event(a, "Warning", "BackOff",
                                "Back-off restarting failed container %s in pod %s_%s(%s)",
                                c->record->name, object_name(d->v->object),
                                object_namespace(d->v->object), object_uid(d->v->object));
        }
        assert(m->backoff_us > 0 && m->backoff_us <= BACKOFF_MAX_US);
        action_back_off(a, d->v->object, c->record->name, m->backoff_us);
        if (d->v->now_us < m->retry_us) {
                decide_wake(d, m->retry_us);
                return;
        }
        m->retry_us = 0;
        m->restarting = m->clearing = true;
        action_container(a, exited ? CONTAINER_STOP : CONTAINER_CLEAR, c->record->name);
}

/* The runtime passes through `failed` on its way to a restart, its own or one that was asked for:
 * only a container that stays there is for us to start. One that was started too often it does not
 * restart, whoever asks. */
static bool failed_for_good(struct decide *d, size_t i) {
        struct container_memory *m = memory_of(d, i);
        uint64_t pause_us = m->restarting ? FAILED_ASKED_US : FAILED_US;

        if (view_of(d, i)->run.given_up)
                return true;
        if (m->failed_us == 0)
                m->failed_us = d->v->now_us;
        if (d->v->now_us >= m->failed_us + pause_us)
                return true;
        decide_wake(d, m->failed_us + pause_us);
        return false;
}

/* Another pod's container has the name (a StatefulSet's earlier pod). */
static void decide_foreign(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);

        /* No pod of this node has it: it is a leftover. */
        if (!c->claimed && (d->v->synced || d->v->standalone))
                action_container(&d->out->actions, CONTAINER_STOP, c->record->name);
        decide_all_wait(d, "ContainerCreating",
                        "an earlier pod of the same name is still being stopped");
}

static int decide_absent(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        m->restarting = m->clearing = false;
        decide_stop_probes(d, i);
        if (c->starting)
                return 0;
        if (!wants_restart(d, c))
                return c->record->exit_code == 0;
        if (d->v->now_us < m->retry_us) {
                decide_wake(d, m->retry_us);
                return 0;
        }
        if (d->v->slots_full) {
                d->out->wants_slot = true;
                return 0;
        }
        m->retry_us = 0;
        action_container(&d->out->actions, CONTAINER_START, c->record->name);
        return 0;
}

/* The runtime is about to start the container again, by itself and after a pause: what the last run
 * has written to its root goes, as with a new container. */
static void renew_root(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);

        if (!c->image.layered || c->run.phase != RUN_RESTARTING || streq(m->renewed, c->run.id))
                return;
        memcpy(m->renewed, c->run.id, sizeof(m->renewed));
        action_container(&d->out->actions, CONTAINER_RENEW_ROOT, c->record->name);
}

static int decide_ended(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);
        struct container_memory *m = memory_of(d, i);
        /* The second: also when an agent before this one began the pause. */
        bool over = c->record->phase == CONTAINER_TERMINATED,
             pauses = c->record->phase == CONTAINER_WAITING &&
                      streq_ptr(c->record->reason, "CrashLoopBackOff");

        if (c->record->socket && c->run.phase == RUN_STARTING)
                return 1;
        renew_root(d, i);
        if (c->record->phase != CONTAINER_RUNNING && run_state_has_ended(&c->run))
                decide_note_end(d, i);
        note_failed_hook(d, i);
        decide_stop_probes(d, i);
        m->ready = m->started = false;
        if (c->run.phase == RUN_FAILED) {
                if (wants_restart(d, c) && !m->clearing && failed_for_good(d, i))
                        back_off(d, i, /* exited= */ false);
                return 0;
        }
        m->failed_us = 0;
        /* systemd takes an end by HUP, INT, TERM or PIPE as a good one, whatever Restart= says. */
        if (c->run.phase == RUN_EXITED && !m->restarting && wants_restart(d, c) &&
                        (over || pauses)) {
                back_off(d, i, /* exited= */ true);
                return 0;
        }
        return over && c->record->exit_code == 0;
}

/* Nothing of it runs; its socket takes connections, so it is ready. Probes would wake it. */
static int decide_asleep(struct decide *d, size_t i) {
        struct container_memory *m = memory_of(d, i);

        decide_note_end(d, i);
        decide_stop_probes(d, i);
        if (!decide_is_asked(d, i))
                m->restarting = false;
        m->clearing = false;
        m->ready = m->started = true;
        m->backoff_us = m->retry_us = m->failed_us = 0;
        if (decide_container_resize(d, i))
                decide_stop(d, i);
        return 1;
}

int decide_container(struct decide *d, size_t i) {
        const struct container_view *c = view_of(d, i);

        if (c->record->adoption != ADOPTION_NONE && !decide_adopted(d, i))
                return 0;
        if (c->there && c->foreign) {
                decide_foreign(d, i);
                return 0;
        }
        if (!c->there)
                return decide_absent(d, i);
        if (c->outdated && !c->memory.restarting) {
                action_pod_event(&d->out->actions, "Normal", "Killing",
                                "Container %s definition changed, will be restarted",
                                c->record->name);
                decide_stop(d, i);
                return 0;
        }
        decide_continue_end(d, i);
        if (c->run.phase == RUN_ASLEEP)
                return decide_asleep(d, i);
        if (run_state_is_running(&c->run, c->record->notify))
                return decide_running(d, i);
        return decide_ended(d, i);
}
