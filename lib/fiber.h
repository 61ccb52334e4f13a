/* Work that lasts longer than a turn of the event loop: a function with a stack of its own, which
 * returns to the loop where it says so, and continues there in a later turn. Everything is one
 * thread: nothing runs beside it. What it reads must stay meanwhile, by references of its own.
 *
 * The fibers of a loop take turns: one for each turn of the loop, in the order in which they came,
 * and at most so many have begun, as each may hold much memory. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct fibers;
/* turn_us: how long one of them has the loop. active_max: those that have begun and do not wait. */
int fibers_new(struct fibers **ret, sd_event *event, uint64_t turn_us, unsigned active_max);
/* Those that are not through are forgotten, without their callbacks. */
struct fibers *fibers_free(struct fibers *all);
DEFINE_CLEANUP(struct fibers *, fibers_free);

struct fiber;
typedef void (*fiber_func)(struct fiber *f, void *userdata);
/* The function has returned; the fiber is gone. */
typedef void (*fiber_done)(void *userdata);
/* Runs func. 0: it is through already, and done is not called. 1: it has paused, or was not begun
 * yet (as when a fiber calls this); done is called once, from the loop. all NULL: it is called with
 * f NULL, and never pauses. -ENOMEM. */
int fibers_start(struct fibers *all, fiber_func func, fiber_done done, void *userdata);

/* --- for the function; f may be NULL --- */

/* NULL but for the fiber that runs now: what belongs to a paused one may be worked at from outside,
 * too, on the stack of the loop or of another fiber. */
struct fiber *fiber_if_current(struct fiber *f);
/* Pauses when its turn is over. Nothing happens where it is not the one that runs. */
void fiber_breathe(struct fiber *f);
/* The same; then the processor time in microseconds that it has used (of a NULL one: that of the
 * thread). Fit for struct cel_limits. */
uint64_t fiber_clock_us(void *f);
/* Pauses until fiber_continue(), which may have been called before. Not with NULL. */
void fiber_wait(struct fiber *f);

/* --- from outside --- */

void fiber_continue(struct fiber *f);
