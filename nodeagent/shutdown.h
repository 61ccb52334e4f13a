/* Graceful shutdown of the machine (KEP-2000): logind waits with a shutdown or reboot until the
 * pods have ended, the critical ones last. */
#pragma once

#include "nodeagent/agent.h"

enum shutdown_stage {
        SHUTDOWN_OFF,
        SHUTDOWN_ASKING,    /* whether the control plane hears of it */
        SHUTDOWN_ORDINARY,  /* pods end that are not critical */
        SHUTDOWN_CRITICAL,  /* the others end */
        SHUTDOWN_REPORTING, /* the control plane gets their last status */
        SHUTDOWN_DONE,      /* the machine may go down */
};

struct shutdown_view {
        uint64_t since_us;              /* the shutdown was announced */
        uint64_t total_us, critical_us; /* what pods may take; the second is a part of the first */
        bool in_touch;                  /* the control plane has answered since */
        bool ordinary_runs, any_runs;   /* containers of such pods */
        bool reported;                  /* all that has ended is reported */
};
/* The stage that follows from what is seen; it never goes back. Times are monotonic. Pure. */
enum shutdown_stage shutdown_next(
                enum shutdown_stage stage, const struct shutdown_view *v, uint64_t now_us);
/* How long logind must wait at least, in microseconds. Pure. */
uint64_t shutdown_delay_us(uint64_t total_us);

struct shutdown;

/* Takes the lock of logind, also when logind starts later. Borrows agent. With no time for pods
 * (shutdown-grace-period 0) it does nothing. */
int shutdown_new(struct shutdown **ret, struct agent *agent);
struct shutdown *shutdown_free(struct shutdown *s);
DEFINE_CLEANUP(struct shutdown *, shutdown_free);
