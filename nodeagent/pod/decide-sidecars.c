/* Sidecars: init containers with restartPolicy Always (KEP-753). They start in their place among
 * the init containers, the next one after their startup probe; they run as long as the pod, and
 * stop after the ordinary containers, the last one first. */
#include "nodeagent/pod/decide.h"

bool decide_is_active(const struct container_view *c) {
        if (!c->there)
                return c->starting;
        return !c->foreign && c->run.phase != RUN_FAILED && c->run.phase != RUN_STOPPED &&
               c->run.phase != RUN_EXITED;
}

bool decide_is_initialized(const struct decide *d) {
        for (size_t i = 0; i < d->v->count; i++) {
                const struct container_view *c = &d->v->containers[i];

                if (!c->record->init && !c->record->ephemeral &&
                                (c->starting || (c->there && !c->foreign)))
                        return true;
        }
        return false;
}

bool decide_sidecar_is_started(const struct decide *d, size_t i) {
        const struct container_view *c = &d->v->containers[i];

        assert(c->record->sidecar);
        return c->there && !c->foreign && c->record->phase == CONTAINER_RUNNING &&
               d->out->containers[i].started;
}

bool decide_is_turn(const struct decide *d, size_t i) {
        if (!d->v->containers[i].record->sidecar)
                return true;
        for (size_t k = 0; k < d->v->count; k++) {
                const struct container_view *c = &d->v->containers[k];

                if ((!c->record->sidecar || k > i) && decide_is_active(c))
                        return false;
        }
        return true;
}

void decide_stop_sidecars(struct decide *d) {
        for (size_t i = d->v->count; i-- > 0;) {
                const struct container_view *c = &d->v->containers[i];

                if (!c->record->sidecar || !c->there || !decide_is_active(c) ||
                                !decide_is_turn(d, i))
                        continue;
                if (!decide_is_asked(d, i))
                        decide_stop(d, i);
        }
}
