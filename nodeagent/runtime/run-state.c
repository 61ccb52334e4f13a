/* Conclusions from a container's state, for every driver. Pure. */
#include "nodeagent/runtime/runtime.h"

bool run_state_is_running(const struct run_state *s, bool notify) {
        if (!s || !s->alive || s->phase == RUN_STOPPED || s->phase == RUN_FAILED)
                return false;
        return notify || s->phase != RUN_STARTING;
}

bool run_state_has_ended(const struct run_state *s) {
        return s && s->ended && !s->alive;
}
