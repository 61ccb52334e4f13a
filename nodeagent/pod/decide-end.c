/* The end of a pod, in the order that keeps a steady load free of errors:
 *
 *   DRAINING   stay in service until our own service table no longer lists the pod, and a second
 *              longer for the other nodes (established connections continue through conntrack)
 *   PRESTOP    the hooks of the containers
 *   STOPPING   SIGTERM through the runtime; SIGKILL when the grace period is over
 *   CLEANING   network, volumes, sandbox
 *   FINISHED   last status, then the object is deleted with grace 0; then nothing is left on disk
 *
 * All of it fits in the grace period, which began with the deletion. */
#include "lib/timefmt.h"
#include "nodeagent/pod/decide.h"

enum {
        DRAIN_MAX_US = 5 * 1000000,
        MARGIN_US = 1000000,
        RETRY_US = 2 * 1000000,
};

static uint64_t deadline_us(const struct decide *d) {
        return d->out->memory.deleted_us + d->out->memory.grace_us;
}

/* Whether something of this pod runs or is about to. */
static bool any_container(const struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (c->there ? !c->foreign : c->starting)
                        return true;
        }
        return false;
}

/* The pod enters the next stage of its end. */
static void enter(struct decide *d, enum pod_stage stage) {
        struct pod_memory *m = &d->out->memory;

        assert(stage == m->stage + 1);
        m->stage = stage;
        m->step_us = d->v->now_us;
}

/* 1 when the pod may be stopped. Readiness is still probed, so that what services see stays
 * true. */
static int drained(struct decide *d) {
        struct pod_memory *m = &d->out->memory;
        uint64_t now = d->v->now_us,
                 end = m->deleted_us + MIN((uint64_t)DRAIN_MAX_US, m->grace_us / 2);

        m->was_served |= d->v->served;
        if (!any_container(d) || !m->was_served)
                return 1;
        if (d->v->served && now < end) {
                decide_wake(d, end);
                return 0;
        }
        if (m->step_us == 0)
                m->step_us = now;
        end = MIN(m->step_us + MARGIN_US, deadline_us(d));
        if (now >= end)
                return 1;
        decide_wake(d, end);
        return 0;
}

int decide_pre_stop_done(struct decide *d, size_t i, uint64_t since_us) {
        const struct container_view *c = &d->v->containers[i];
        const json_t *hook = json_at(c->spec, "lifecycle.preStop");
        int64_t sleep_s = json_int_or(hook, "sleep.seconds", 0);
        uint64_t end = since_us + seconds_us(sleep_s);

        if (!hook || c->pre_stop_done || c->record->phase != CONTAINER_RUNNING || c->record->asleep)
                return 1;
        if (c->hook_busy)
                return 0;
        if (json_at(hook, "sleep")) {
                if (d->v->now_us >= end)
                        return 1;
                decide_wake(d, end);
                return 0;
        }
        action_container(&d->out->actions, CONTAINER_PRE_STOP, c->record->name);
        d->out->again = true;
        return 0;
}

/* 1 when every hook has ended or the time is over. */
static int hooks_done(struct decide *d) {
        bool pending = false;

        for (size_t i = 0; i < d->v->count; i++)
                pending |= !decide_pre_stop_done(d, i, d->out->memory.step_us);
        if (!pending)
                return 1;
        if (d->v->now_us >= deadline_us(d)) {
                d->out->again = false;
                return 1;
        }
        decide_wake(d, deadline_us(d));
        return 0;
}

static void stop_one(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];
        struct actions *a = &d->out->actions;

        action_pod_event(a, "Normal", "Killing", "Stopping container %s", c->record->name);
        d->out->containers[i].restarting = true;
        action_container(a, CONTAINER_STOP, c->record->name);
}

/* Sidecars stop after the containers that need them. */
static void stop_containers(struct decide *d) {
        struct actions *a = &d->out->actions;

        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                d->out->containers[i].ending = ENDING_NONE;
                d->out->containers[i].restarting = false;

                if (json_at(c->spec, "lifecycle"))
                        action_container(a, CONTAINER_HOOKS_STOP, c->record->name);
                decide_stop_probes(d, i);
                if (c->there && !c->foreign && decide_is_turn(d, i))
                        stop_one(d, i);
        }
}

/* Not asked to stop yet: it may be its turn, or the last moment. */
static void stop_late(struct decide *d, size_t i, uint64_t end) {
        if (decide_is_turn(d, i) || d->v->now_us >= end)
                stop_one(d, i);
}

/* 1 when all containers are gone. */
static int stopped(struct decide *d) {
        struct pod_memory *m = &d->out->memory;
        struct actions *a = &d->out->actions;
        uint64_t now = d->v->now_us, end = MAX(deadline_us(d), m->step_us + RETRY_US);

        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (!c->there || c->foreign)
                        continue;
                if (c->run.phase == RUN_FAILED || c->run.phase == RUN_STOPPED)
                        action_container(a, CONTAINER_CLEAR, c->record->name);
                else if (!d->out->containers[i].restarting)
                        stop_late(d, i, end);
                else if (now >= end && (!m->killed || c->record->sidecar))
                        action_container(a, CONTAINER_KILL, c->record->name);
                /* Started at the last moment, or again manually. */
                else if (c->run.phase != RUN_STOPPING && now >= m->step_us + RETRY_US)
                        action_container(a, CONTAINER_STOP, c->record->name);
        }
        if (!any_container(d))
                return 1;
        m->killed |= now >= end;
        decide_wake(d, m->killed ? now + RETRY_US : MIN(end, now + RETRY_US));
        return 0;
}

/* The probes of a pod that is still in service count as before. */
static void follow_probes(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (c->there && !c->foreign && streq(c->memory.seen, c->run.id))
                        decide_verdicts(d, i);
        }
}

/* Falls through the stages as far as it can. */
void decide_end(struct decide *d) {
        struct pod_memory *m = &d->out->memory;
        struct actions *a = &d->out->actions;

        assert(m->stage > POD_ALIVE && m->stage <= POD_FINISHED);
        if (m->stage == POD_DRAINING || m->stage == POD_PRESTOP)
                follow_probes(d);
        if (m->stage == POD_DRAINING && drained(d))
                enter(d, POD_PRESTOP);
        if (m->stage == POD_PRESTOP && hooks_done(d)) {
                enter(d, POD_STOPPING);
                stop_containers(d);
        }
        if (m->stage == POD_STOPPING && stopped(d))
                enter(d, POD_CLEANING);
        if (m->stage == POD_CLEANING) {
                action_pod(a, POD_CLEAN);
                enter(d, POD_FINISHED);
        }
        if (!d->out->again)
                action_pod(a, POD_REPORT);
        if (m->stage == POD_FINISHED)
                action_pod(a, POD_FINISH);
}
