/* Turns of fetching: first come, first served, a fixed number at a time. A fetch whose server is
 * silent gives up its place while it waits, so that hanging servers delay others only for a moment;
 * a fetch that takes long gives it up too. Only the number of processes is bounded. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "lib/base.h"

enum turn_state { TURN_NONE, TURN_WAITING, TURN_BUSY, TURN_QUIET };

/* Part of the one that asks; zero-initialise to start. */
struct fetch_turn {
        struct fetch_turns *turns;
        enum turn_state state;
        uint64_t heard_us;   /* monotonic: its start, or when data last came */
        uint64_t started_us; /* monotonic */
        void (*go)(void *userdata);
        void *userdata;
        TAILQ_ENTRY(fetch_turn) link;
};
TAILQ_HEAD(fetch_turn_list, fetch_turn);

struct fetch_turns {
        sd_event_source *timer;
        struct fetch_turn_list waiting, running;
        unsigned busy, quiet;
        unsigned busy_max, all_max;
        uint64_t quiet_after_us;
        uint64_t busy_for_us; /* a minute; longer no fetch counts as busy */
};

/* busy_max at work at a time, all_max with those that are quiet. */
int turns_init(struct fetch_turns *s, sd_event *event, unsigned busy_max, unsigned all_max,
                uint64_t quiet_after_us);
void turns_done(struct fetch_turns *s);
/* Calls go(userdata) when it is its turn, perhaps at once. Asking again while it waits or runs does
 * nothing. */
void turn_ask(struct fetch_turns *s, struct fetch_turn *turn, void (*go)(void *userdata),
                void *userdata);
/* Data came. */
void turn_heard(struct fetch_turn *turn);
/* Done, or no longer wanted; the next ones get their turn. */
void turn_leave(struct fetch_turn *turn);
