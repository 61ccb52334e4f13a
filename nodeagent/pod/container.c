/* One container of a pod: its name in the runtime, its record, its memory, its starts. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/users.h"
#include "nodeagent/pod/volumes.h"

static const json_t *named_in(const json_t *list, const char *key, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, key, ""), name))
                        return v;
        return NULL;
}

const json_t *container_spec(const struct container *c) {
        return named_in(json_at(c->pod->object, c->record->init ? "spec.initContainers"
                                                                : "spec.containers"),
                        "name", c->record->name);
}

const json_t *container_plan(const struct container *c) {
        return named_in(json_at(c->pod->sandbox.plan,
                                        c->record->init ? "initContainers" : "containers"),
                        "container", c->record->name);
}

static int add(struct pod *p, const json_t *spec, bool init, const char *reason) {
        struct container_record *r = &p->records[p->count];
        struct container *c = &p->containers[p->count];

        p->count++;
        c->pod = p;
        c->record = r;
        r->init = init;
        r->name = strdup(json_str_or(spec, "name", ""));
        if (!r->name)
                return -ENOMEM;
        r->notify = pod_readiness_is_notify(p->object, r->name);
        c->unit = pod_unit_name(p->object, r->name);
        if (!c->unit)
                return -ENOMEM;
        (void)container_set_waiting(r, reason, NULL);
        return 0;
}

int pod_add_containers(struct pod *p) {
        const json_t *inits = json_at(p->object, "spec.initContainers"),
                     *mains = json_at(p->object, "spec.containers"), *v;
        size_t n = json_array_size(inits) + json_array_size(mains), i;
        int r;

        assert(!p->containers && p->count == 0);
        p->records = calloc(MAX(n, (size_t)1), sizeof(*p->records));
        p->containers = calloc(MAX(n, (size_t)1), sizeof(*p->containers));
        if (!p->records || !p->containers)
                return -ENOMEM;
        json_array_foreach (inits, i, v) {
                r = add(p, v, /* init= */ true, "ContainerCreating");
                if (r < 0)
                        return r;
        }
        json_array_foreach (mains, i, v) {
                r = add(p, v, /* init= */ false,
                                json_array_size(inits) > 0 ? "PodInitializing"
                                                           : "ContainerCreating");
                if (r < 0)
                        return r;
        }
        assert(p->count == n);
        return 0;
}

void pod_free_containers(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = &p->containers[i];

                container_probes_stop(c);
                container_hooks_stop(c);
                free(c->unit);
                container_record_done(&p->records[i]);
        }
        p->containers = mfree(p->containers);
        p->records = mfree(p->records);
        p->count = 0;
}

void container_load(struct container *c, const json_t *saved) {
        container_record_load(c->record, saved);
        memcpy(c->memory.announced, c->record->invocation, sizeof(c->memory.announced));
        c->memory.adopted = json_bool_or(saved, "ready", false);
}

void container_forget_end(struct container *c) {
        (void)container_set_waiting(c->record, "PodInitializing", NULL);
}

void container_commit(struct container *c, const struct container_memory *m) {
        c->memory = *m;
        c->record->ready = m->ready;
        c->record->started = m->started;
}

void container_not_adopted(struct container *c) {
        c->memory.adopted = false;
        (void)container_observe(c->record, NULL, now_wall_us());
}

/* Everything on the file system that the unit counts on, then the unit itself. */
static int start(struct container *c, struct problem *problem) {
        struct pod *p = c->pod;
        const json_t *unit = container_plan(c), *plan = p->sandbox.plan;
        int r;

        if (!unit)
                return -ENOENT;
        r = volumes_write_commands(unit);
        if (r < 0)
                return r;
        r = stage_container(unit, json_at(plan, "volumes"), problem);
        if (r < 0)
                return r;
        r = users_ensure(unit, problem);
        if (r < 0)
                return r;
        return runtime_start(p->pods->agent->runtime, plan, unit);
}

void container_start(struct container *c) {
        _cleanup_problem_ struct problem problem = {0};
        _cleanup_free_ char *text = NULL;
        int r = start(c, &problem);

        if (r >= 0) {
                c->starting = true;
                return;
        }
        if (problem.message)
                pod_event(c->pod, "Warning", "Failed", "Error: %s", problem.message);
        else
                text = strformat("cannot start the unit: %s", strerror(-r));
        (void)container_set_waiting(c->record,
                        problem.reason ? problem.reason : "CreateContainerError",
                        problem.message ? problem.message : text);
        container_memory_not_started(&c->memory, now_mono_us());
        pod_wake_at(c->pod, c->memory.retry_us);
}

void container_start_refused(struct container *c, const char *message) {
        if (!c->starting)
                return;
        c->starting = false;
        container_memory_refused(&c->memory, now_mono_us());
        (void)container_observe(c->record, NULL, now_wall_us());
        (void)container_set_waiting(c->record, "CreateContainerError", message);
        pod_event(c->pod, "Warning", "Failed", "Error: container %s: %s", c->record->name, message);
        pod_wake(c->pod);
}

void container_observe_run(struct container *c, const struct run_state *state) {
        struct pod *p = c->pod;
        struct container_record *r = c->record;

        pod_wake(p);
        /* A container of the same name that belongs to another pod (a StatefulSet's earlier
         * one). */
        if (state && state->owner[0] && !streq(state->owner, p->sandbox_name))
                return;
        if (p->pods->units_listed)
                c->starting = false;
        if (run_state_has_ended(state) && r->phase != CONTAINER_TERMINATED) {
                container_read_report(c);
                free(r->last_words);
                r->last_words = container_last_words(c, state);
        }
        (void)container_observe(r, state, now_wall_us());
}

void pod_wait_all(struct pod *p, const char *reason, const char *message) {
        for (size_t i = 0; i < p->count; i++) {
                struct container_record *r = &p->records[i];

                if (r->phase == CONTAINER_WAITING && !streq_ptr(r->reason, "CrashLoopBackOff"))
                        (void)container_set_waiting(r, reason, message);
        }
}

void pod_wait_over(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container_record *r = &p->records[i];

                if (r->phase == CONTAINER_WAITING && r->message &&
                                p->containers[i].memory.retry_us == 0 &&
                                !streq_ptr(r->reason, "CrashLoopBackOff"))
                        (void)container_set_waiting(r, "ContainerCreating", NULL);
        }
}
