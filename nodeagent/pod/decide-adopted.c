/* A container that is a unit of the machine (docs/own-units.md). How the unit was found is recorded
 * before anything is done with it. Read-only: its state is shown, and nothing else. Managed: it is
 * started and restarted like any other container; at the end of the pod it is left as it was found
 * (view.c). */
#include "nodeagent/pod/decide.h"

static void wait_once(struct decide *d, size_t i, const char *reason, const char *message) {
        const struct container_record *r = d->v->containers[i].record;

        if (r->phase != CONTAINER_WAITING || !streq_ptr(r->reason, reason) ||
                        !streq_ptr(r->message, message))
                action_wait(&d->out->actions, r->name, reason, message);
}

static void not_ready(struct decide *d, size_t i) {
        decide_stop_probes(d, i);
        d->out->containers[i].ready = d->out->containers[i].started = false;
}

/* A run that is seen: only its readiness is asked for. */
static void watch_run(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];
        struct container_memory *m = &d->out->containers[i];
        bool fresh = !streq(m->seen, c->run.id);

        if (fresh) {
                decide_stop_probes(d, i);
                m->ready = !*m->seen && m->adopted;
                memcpy(m->seen, c->run.id, sizeof(m->seen));
        }
        m->started = true;
        if (!json_at(c->spec, "readinessProbe"))
                m->ready = c->run.ready;
        else if (fresh || c->probes[PROBE_READINESS] == PROBE_OFF)
                action_container(&d->out->actions, CONTAINER_PROBE_READINESS, c->record->name);
        else if (c->probes[PROBE_READINESS] != PROBE_ASKING)
                m->ready = c->probes[PROBE_READINESS] == PROBE_PASSED;
}

static void show(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];

        if (run_state_is_running(&c->run, /* notify= */ false)) {
                watch_run(d, i);
                return;
        }
        not_ready(d, i);
        if (c->run.phase == RUN_STOPPED && c->record->phase == CONTAINER_WAITING)
                wait_once(d, i, "UnitInactive",
                                "the unit does not run, and is adopted read-only: this pod does "
                                "not start it");
}

int decide_adopted(struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];
        const struct container_record *r = c->record;

        if (!c->known)
                return 0;
        if (c->run.trouble) {
                not_ready(d, i);
                wait_once(d, i, "UnitNotAdopted", c->run.trouble);
                return 0;
        }
        if (r->found == UNIT_NOT_SEEN) {
                action_container(&d->out->actions, CONTAINER_ADOPT, r->name);
                d->out->again = true;
                return 0;
        }
        if (r->adoption == ADOPTION_READ_ONLY) {
                show(d, i);
                return 0;
        }
        /* A unit that has done its work and stays is as it should be. */
        if (c->run.phase != RUN_EXITED)
                return 1;
        decide_stop_probes(d, i);
        d->out->containers[i].ready = d->out->containers[i].started = true;
        return 0;
}
