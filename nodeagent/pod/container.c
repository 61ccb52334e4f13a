/* One container of a pod: its name in the runtime, its record, its memory, its starts. */
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/plan/restart.h"
#include "nodeagent/pod/pod.h"
#include "nodeagent/pod/roots.h"
#include "nodeagent/pod/stage.h"
#include "nodeagent/pod/users.h"
#include "nodeagent/pod/volumes.h"

enum { REFETCH_US = 5 * 1000000 };

static const json_t *named_in(const json_t *list, const char *key, const char *name) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq(json_str_or(v, key, ""), name))
                        return v;
        return NULL;
}

static const char *list_of(const struct container *c) {
        return container_list_name(container_record_list(c->record));
}

const json_t *container_spec(const struct container *c) {
        return named_in(json_get(c->pod->object, "spec", list_of(c), NULL), "name",
                        c->record->name);
}

/* What the plan has of it: a unit, or for an ephemeral container why there is none. */
static const json_t *planned(const struct container *c) {
        return named_in(json_object_get(c->pod->sandbox.plan, list_of(c)), "container",
                        c->record->name);
}

const json_t *container_plan(const struct container *c) {
        const json_t *unit = planned(c);

        return json_object_get(unit, "properties") ? unit : NULL;
}

/* A place for one more. Containers stay where they are, because others point to them. */
static struct container *grow(struct pod *p) {
        struct container *c = calloc(1, sizeof(*c));
        void *records = reallocarray(p->records, p->count + 1, sizeof(*p->records)),
             *containers = reallocarray(p->containers, p->count + 1, sizeof(*p->containers));

        if (records)
                p->records = records;
        if (containers)
                p->containers = containers;
        if (!c || !records || !containers) {
                free(c);
                return NULL;
        }
        p->records[p->count] = (struct container_record){0};
        p->containers[p->count++] = c;
        c->pod = p;
        for (size_t i = 0; i < p->count; i++)
                p->containers[i]->record = &p->records[i];
        return c;
}

static int add(struct pod *p, const json_t *spec, enum container_list list, const char *reason) {
        struct container *c = grow(p);
        struct container_record *r = c ? c->record : NULL;
        bool always = streq(json_str_or(spec, "restartPolicy", ""), "Always");

        if (!c)
                return -ENOMEM;
        r->init = list == CONTAINERS_INIT;
        r->ephemeral = list == CONTAINERS_EPHEMERAL;
        r->sidecar = r->init && always;
        r->name = strdup(json_str_or(spec, "name", ""));
        if (!r->name)
                return -ENOMEM;
        container_record_allocate(r, json_object_get(spec, "resources"));
        r->notify = !r->ephemeral && pod_readiness_is_notify(p->object, r->name);
        r->socket = list == CONTAINERS_MAIN && pod_is_socket_activated(p->object, spec);
        r->never = !r->ephemeral && !r->sidecar &&
                   streq(container_restart_policy(p->object, spec), "Never");
        c->unit = pod_unit_name(p->object, r->name);
        if (!c->unit)
                return -ENOMEM;
        if (list == CONTAINERS_MAIN && pod_adopted_unit(p->object, r->name)) {
                r->adoption = adoption_mode(json_object_get(p->object, "metadata"), r->name);
                c->adopts = strdup(pod_adopted_unit(p->object, r->name));
                if (!c->adopts)
                        return -ENOMEM;
        }
        (void)container_set_waiting(r, reason, NULL);
        return 0;
}

int pod_add_containers(struct pod *p) {
        bool inits = json_array_size(json_at(p->object, "spec.initContainers")) > 0;
        /* Those of a manifest on the machine were added to no running pod. */
        enum container_list end = p->flags & POD_STATIC ? CONTAINERS_EPHEMERAL : CONTAINER_LISTS;

        assert(!p->containers && p->count == 0);
        for (enum container_list l = 0; l < end; l++) {
                const json_t *list = json_get(p->object, "spec", container_list_name(l), NULL), *v;
                size_t i;

                json_array_foreach (list, i, v) {
                        bool later = inits && l == CONTAINERS_MAIN;
                        int r = add(p, v, l, later ? "PodInitializing" : "ContainerCreating");

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int pod_add_ephemeral(struct pod *p) {
        const json_t *v;
        size_t i;

        if (p->flags & POD_STATIC)
                return 0;
        json_array_foreach (json_at(p->object, "spec.ephemeralContainers"), i, v) {
                int r;

                if (pod_container(p, json_str_or(v, "name", "")))
                        continue;
                r = add(p, v, CONTAINERS_EPHEMERAL, "ContainerCreating");
                if (r < 0)
                        return r;
                r = pods_add_container(p->pods, p->containers[p->count - 1]);
                if (r < 0)
                        return r;
                /* It may name other ConfigMaps and Secrets. */
                p->sandbox.fetch_us = now_mono_us();
        }
        return 0;
}

void pod_free_containers(struct pod *p) {
        for (size_t i = 0; i < p->count; i++) {
                struct container *c = p->containers[i];

                container_probes_stop(c);
                container_hooks_stop(c);
                container_image_done(c);
                container_resize_done(c);
                start_slots_release(&p->pods->slots, c);
                free(c->unit);
                free(c->adopts);
                free(c);
                container_record_done(&p->records[i]);
        }
        p->containers = mfree(p->containers);
        p->records = mfree(p->records);
        p->count = 0;
}

/* It is ready from the first moment on: what is saved and reported until its run is seen says so.
 */
static void container_set_adopted(struct container *c, bool ready) {
        c->memory.adopted = ready;
        c->memory.ready = c->memory.started = ready;
        c->record->ready = c->record->started = ready;
}

void container_load(struct container *c, const json_t *saved) {
        container_record_load(c->record, saved);
        /* An agent before this one kept no record of them: it made the unit from the spec. */
        if (!c->record->resources)
                container_record_resized(c->record, c->record->allocated);
        memcpy(c->memory.announced, c->record->invocation, sizeof(c->memory.announced));
        memcpy(c->memory.hooked, c->record->hooked, sizeof(c->memory.hooked));
        container_set_adopted(c, json_bool_or(saved, "ready", false));
}

void container_forget_end(struct container *c) {
        (void)container_set_waiting(c->record, "PodInitializing", NULL);
}

void container_commit(struct container *c, const struct container_memory *m) {
        c->memory = *m;
        c->record->ready = m->ready;
        c->record->started = m->started;
        memcpy(c->record->hooked, m->hooked, sizeof(c->record->hooked));
}

void container_not_adopted(struct container *c) {
        /* A unit of the machine is known later. */
        if (c->adopts)
                return;
        container_set_adopted(c, false);
        (void)container_observe(c->record, NULL, now_wall_us());
}

/* An ephemeral container whose plan failed, perhaps for a ConfigMap that is not there. */
static int explain_no_unit(struct container *c, struct problem *problem) {
        const json_t *refused = planned(c);
        struct pod_sandbox *s = &c->pod->sandbox;

        if (!refused)
                return -ENOENT;
        s->fetch_us = MIN(s->fetch_us, now_mono_us() + REFETCH_US);
        /* The plan outlives the problem. */
        return problem_set(problem, EINVAL, 0, json_str(refused, "reason"), "%s",
                        json_str_or(refused, "message", ""));
}

/* Everything on the file system that the unit counts on, then the unit itself. */
static int start(struct container *c, struct problem *problem) {
        struct pod *p = c->pod;
        const json_t *unit = container_plan(c), *plan = p->sandbox.plan;
        _cleanup_json_ json_t *joining = NULL;
        int r;

        if (!unit)
                return explain_no_unit(c, problem);
        if (c->adopts)
                return runtime_start(p->pods->agent->runtime, plan, unit);
        r = container_join_target(c, unit, &joining, problem);
        if (r < 0)
                return r;
        r = volumes_write_commands(joining ? joining : unit);
        if (r < 0)
                return r;
        r = root_make(unit, p->pods->agent->trash, problem);
        if (r < 0)
                return r;
        container_image_mark_used(c);
        r = stage_container(unit, json_at(plan, "volumes"), problem);
        if (r < 0)
                return r;
        r = users_ensure(unit, problem);
        if (r < 0)
                return r;
        return runtime_start(p->pods->agent->runtime, plan, unit);
}

void container_renew_root(struct container *c) {
        _cleanup_problem_ struct problem problem = {0};
        const json_t *unit = container_plan(c);

        /* The next start has what is left, or fails and says why. */
        if (unit && root_make(unit, c->pod->pods->agent->trash, &problem) < 0)
                log_warning("%s", strempty(problem.message));
}

void container_start(struct container *c) {
        _cleanup_problem_ struct problem problem = {0};
        const char *warning = json_str(container_plan(c), "warning");
        _cleanup_free_ char *text = NULL;
        int r = start(c, &problem);

        if (r >= 0) {
                c->starting = true;
                start_slots_take(&c->pod->pods->slots, c,
                                now_mono_us() + (uint64_t)(c->record->notify
                                                                ? START_SLOT_NOTIFY_US
                                                                : START_SLOT_US));
                container_record_resized(c->record, c->record->allocated);
                if (warning)
                        pod_event(c->pod, "Warning", "FieldWithoutEffect", "%s", warning);
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
        start_slots_release(&c->pod->pods->slots, c);
        container_memory_refused(&c->memory, now_mono_us());
        (void)container_observe(c->record, NULL, now_wall_us());
        (void)container_set_waiting(c->record, "CreateContainerError", message);
        pod_event(c->pod, "Warning", "Failed", "Error: container %s: %s", c->record->name, message);
        pod_wake(c->pod);
}

void container_observe_run(struct container *c, const struct run_state *state) {
        struct pod *p = c->pod;
        struct container_record *r = c->record;
        uint32_t restarts;

        pod_wake(p);
        /* A container of the same name that belongs to another pod (a StatefulSet's earlier
         * one). */
        if (state && state->owner[0] && !streq(state->owner, p->sandbox_name))
                return;
        if (p->pods->units_listed)
                c->starting = false;
        /* A unit that is new has not been stopped, but looks so. */
        if (!state || (state->phase != RUN_STARTING && state->phase != RUN_STOPPED))
                start_slots_release(&p->pods->slots, c);
        if (c->adopts) {
                if (state && !state->trouble)
                        (void)container_observe(r, state, now_wall_us());
                return;
        }
        if (run_state_has_ended(state) && r->phase != CONTAINER_TERMINATED) {
                if (state && json_bool_or(container_spec(c), "tty", false))
                        log_sockets_run_ended(
                                        p->pods->agent->log_sockets, p->uid, r->name, state->id);
                container_read_report(c);
                free(r->last_words);
                r->last_words = container_last_words(c, state);
                if (state && state->start_failure)
                        sandbox_doubt(p);
        }
        restarts = r->restart_count;
        (void)container_observe(r, state, now_wall_us());
        if (r->restart_count > restarts)
                metric_add(p->pods->agent->figures.restarts, r->restart_count - restarts);
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
                                p->containers[i]->memory.retry_us == 0 &&
                                !streq_ptr(r->reason, "CrashLoopBackOff"))
                        (void)container_set_waiting(r, "ContainerCreating", NULL);
        }
}
