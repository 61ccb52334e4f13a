/* Work that is done a piece a turn of the event loop: what else has become ready has its turn in
 * between, however many pieces there are. A deferred source that is enabled again by its own
 * callback does not do that: sd-event keeps it pending with the turn in which it was made, and so
 * takes it before every other source of its priority, until it stays off. (A timer that is due
 * would, with two system calls for each turn.) */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

struct loop_turn;
typedef void (*loop_turn_func)(void *userdata);
/* priority: SD_EVENT_PRIORITY_NORMAL, or after it. No turn comes before it is asked for. */
int loop_turn_new(struct loop_turn **ret, sd_event *event, int64_t priority, loop_turn_func func,
                void *userdata);
/* func may do so, too. */
struct loop_turn *loop_turn_free(struct loop_turn *t);
DEFINE_CLEANUP(struct loop_turn *, loop_turn_free);

/* func is called once, from the loop, when the others have had their turn. From inside of func: it
 * has another one. Nothing changes where it was asked already. */
void loop_turn_ask(struct loop_turn *t);
/* It is no longer to be called. */
void loop_turn_drop(struct loop_turn *t);
