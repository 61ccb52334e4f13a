/* A living pod, step by step: whether it may run here, the resources it uses, its network and
 * volumes, its init containers one after the other, then the rest. */
#include "nodeagent/pod/decide.h"

#include "nodeagent/pod/admission.h"

#define GRACE_MAX_S (INT64_C(10) * 365 * 86400)
enum { GRACE_DEFAULT_S = 30, MEASURE_LOOK_US = 1000000 };

static int64_t within_bounds(int64_t seconds) {
        if (seconds < 0)
                return 0;
        return MIN(seconds, GRACE_MAX_S);
}

int64_t pod_grace_s(const json_t *object) {
        return within_bounds(
                        json_int_or(object, "spec.terminationGracePeriodSeconds", GRACE_DEFAULT_S));
}

void pod_memory_end(struct pod_memory *m, uint64_t now_us, uint64_t wall_us) {
        if (m->stage != POD_ALIVE)
                return;
        m->stage = POD_DRAINING;
        m->deleted_us = now_us;
        m->deleted_wall_us = wall_us;
}

void pod_memory_set_grace(struct pod_memory *m, int64_t seconds) {
        assert(m->stage != POD_ALIVE);
        m->grace_us = (uint64_t)within_bounds(seconds) * 1000000;
}

void decide_wake(struct decide *d, uint64_t at_us) {
        assert(at_us > 0);
        if (d->out->wake_us == 0 || at_us < d->out->wake_us)
                d->out->wake_us = at_us;
}

void decide_all_wait(struct decide *d, const char *reason, const char *message) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_record *r = d->v->containers[i].record;

                if (r->phase != CONTAINER_WAITING || streq_ptr(r->reason, "CrashLoopBackOff"))
                        continue;
                if (!streq_ptr(r->reason, reason) || !streq_ptr(r->message, message))
                        action_wait(&d->out->actions, r->name, reason, message);
        }
}

/* A pod that may not run here fails, and is on disk as one that failed before it is there as one to
 * start. While this node's taints are not known it waits, and nothing is written of it. */
static void decide_admission(struct decide *d) {
        const struct pod_view *v = d->v;
        struct actions *a = &d->out->actions;
        _cleanup_problem_ struct problem problem = {0};

        if (!v->taints_known)
                return;
        if (pod_admit(v->object, v->taints, v->pressures, v->shutting_down, &problem) < 0) {
                const char *reason = strempty(problem.reason);

                action_pod_fail(a, reason, strempty(problem.message));
                action_pod_event(a, "Warning", reason, "%s", strempty(problem.message));
                action_pod(a, POD_REPORT);
        }
        d->out->memory.admitted = true;
        action_pod(a, POD_SAVE);
        d->out->again = true;
}

/* Only sidecars may still run. */
static bool is_over(const struct pod_view *v) {
        struct status_facts f = {.failed_reason = v->failed_reason};

        return status_is_over(v->object, v->records, v->count, &f);
}

static bool is_terminal(const struct pod_view *v) {
        struct status_facts f = {.failed_reason = v->failed_reason};
        const char *phase = status_phase(v->object, v->records, v->count, &f);

        return streq(phase, "Succeeded") || streq(phase, "Failed");
}

/* An evicted pod's data goes with it: the object may stay for a long time. */
static void decide_sweep(struct decide *d) {
        const struct pod_view *v = d->v;

        if (v->swept || !streq_ptr(v->failed_reason, "Evicted"))
                return;
        for (size_t i = 0; i < v->count; i++) {
                const struct container_view *c = &v->containers[i];

                if (c->there && c->run.phase != RUN_FAILED && c->run.phase != RUN_STOPPED)
                        return;
        }
        action_pod(&d->out->actions, POD_SWEEP);
}

/* All containers but the sidecars, which follow them. */
static void stop_ordinary(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (!c->record->sidecar && c->there && decide_is_active(c) &&
                                !decide_is_asked(d, i))
                        decide_stop(d, i);
        }
}

/* The pod's work is over: what still runs ends, the sidecars last. */
static void decide_over(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (c->there && run_state_has_ended(&c->run))
                        decide_note_end(d, i);
                if (c->there && !c->foreign)
                        decide_continue_end(d, i);
                if (!c->record->sidecar || !c->there)
                        decide_stop_probes(d, i);
        }
        if (d->v->failed_reason)
                stop_ordinary(d);
        decide_stop_ephemeral(d);
        decide_stop_sidecars(d);
        if (is_terminal(d->v))
                decide_sweep(d);
}

/* activeDeadlineSeconds. 1 when the pod fails by it now. */
static int decide_deadline(struct decide *d) {
        const struct pod_view *v = d->v;
        int64_t seconds = json_int_or(v->object, "spec.activeDeadlineSeconds", 0);
        uint64_t end = v->start_us + (uint64_t)seconds * 1000000;

        if (seconds <= 0)
                return 0;
        if (v->wall_us < end) {
                decide_wake(d, v->now_us + end - v->wall_us);
                return 0;
        }
        action_pod_fail(&d->out->actions, "DeadlineExceeded",
                        "Pod was active on the node longer than the specified deadline");
        stop_ordinary(d);
        return 1;
}

/* A volume is over its limit, the node is low on a resource or is being shut down. 1 when the pod
 * fails by it now. */
static int decide_eviction(struct decide *d) {
        const struct pod_view *v = d->v;
        struct actions *a = &d->out->actions;

        if (!v->end_reason)
                return 0;
        action_pod_fail(a, v->end_reason, v->end_message);
        action_pod_event(a, "Warning", v->end_reason, "%s", v->end_message);
        stop_ordinary(d);
        d->out->again = true; /* what has no container now is swept at once */
        return 1;
}

/* 1 when the pod has what it needs to continue. */
static int decide_resources(struct decide *d) {
        const struct pod_view *v = d->v;

        if (!v->resources_wanted)
                return 1;
        if (!v->fetching && v->now_us >= v->fetch_us)
                action_pod(&d->out->actions, POD_FETCH);
        else if (!v->fetching)
                decide_wake(d, v->fetch_us);
        if (v->resources_known)
                return 1;
        decide_all_wait(d, "ContainerCreating",
                        "waiting for the control plane to send the ConfigMaps and Secrets of "
                        "this pod");
        return 0;
}

static void decide_usage(struct decide *d) {
        const struct pod_view *v = d->v;

        if (!v->measurable)
                return;
        if (v->measuring) /* its end wakes nobody */
                decide_wake(d, MAX(v->measure_us, v->now_us + MEASURE_LOOK_US));
        else if (v->now_us >= v->measure_us)
                action_pod(&d->out->actions, POD_MEASURE);
        else
                decide_wake(d, v->measure_us);
}

static void decide_containers(struct decide *d) {
        bool initialized = decide_is_initialized(d);

        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_record *r = d->v->containers[i].record;
                bool over = r->phase == CONTAINER_TERMINATED;
                int done;

                if (r->ephemeral)
                        return; /* they come last */
                if (r->sidecar) {
                        (void)decide_container(d, i);
                        if (!initialized && !decide_sidecar_is_started(d, i))
                                return;
                        continue;
                }
                if (r->init && over && r->exit_code == 0)
                        continue;
                done = decide_container(d, i);
                /* The others wait for this one to succeed. */
                if (r->init && (!done || !over))
                        return;
        }
}

/* The machine goes down while the control plane does not hear of it: the pod's containers end, and
 * start again with the machine. */
static void decide_halt(struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++)
                if (d->v->containers[i].there && !d->v->containers[i].foreign)
                        decide_continue_end(d, i);
        stop_ordinary(d);
        decide_stop_sidecars(d);
}

static void decide_living(struct decide *d) {
        const struct pod_view *v = d->v;

        if (!v->memory.admitted) {
                decide_admission(d);
                return;
        }
        if (is_over(v)) {
                decide_over(d);
        } else if (v->halting && !v->end_reason) {
                decide_halt(d);
        } else if (!decide_eviction(d) && !decide_deadline(d) && decide_resources(d) &&
                        decide_images(d)) {
                if (decide_resize(d)) {
                        ; /* the plan is made again */
                } else if (v->prepared) {
                        decide_usage(d);
                        decide_containers(d);
                        decide_ephemeral(d);
                } else if (!v->prepare_failed) {
                        action_pod(&d->out->actions, POD_PREPARE);
                        d->out->again = true;
                }
        }
        /* The service table may forget the pod before its deletion arrives. */
        d->out->memory.was_served |= v->served;
        if (!d->out->again)
                action_pod(&d->out->actions, POD_REPORT);
}

void pod_decide(const struct pod_view *v, struct pod_decision *ret) {
        struct decide d = {.v = v, .out = ret};

        *ret = (struct pod_decision){.memory = v->memory};
        ret->containers = calloc(MAX(v->count, (size_t)1), sizeof(*ret->containers));
        assert(ret->containers);
        for (size_t i = 0; i < v->count; i++) {
                assert(v->containers[i].record == &v->records[i]);
                ret->containers[i] = v->containers[i].memory;
        }
        if (v->memory.stage == POD_ALIVE)
                decide_living(&d);
        else
                decide_end(&d);
        /* A pod's life has one direction. */
        assert(ret->memory.stage >= v->memory.stage);
        assert(!v->memory.admitted || ret->memory.admitted);
}

void pod_decision_done(struct pod_decision *d) {
        actions_done(&d->actions);
        free(d->containers);
        *d = (struct pod_decision){0};
}
