/* Whose turn it is to fetch: first come, first served, so many at a time. A fetch from which
 * nothing comes gives its place up while it waits, so that servers that hang cost the others
 * nothing but the first moments; one that takes long gives it up too, whatever comes. Only the
 * number of processes is bounded. */
#pragma once

#include <sys/queue.h>
#include <systemd/sd-event.h>

#include "lib/base.h"

enum slot_state { SLOT_NONE, SLOT_WAITING, SLOT_BUSY, SLOT_QUIET };

/* Part of whoever asks; all zero at first. */
struct slot {
        struct slots *slots;
        enum slot_state state;
        uint64_t heard_us;   /* monotonic: its start, or when something last came */
        uint64_t started_us; /* monotonic */
        void (*go)(void *userdata);
        void *userdata;
        TAILQ_ENTRY(slot) link;
};
TAILQ_HEAD(slot_list, slot);

struct slots {
        sd_event_source *timer;
        struct slot_list waiting, running;
        unsigned busy, quiet;
        unsigned busy_max, all_max;
        uint64_t quiet_after_us;
        uint64_t busy_for_us; /* a minute; longer no fetch counts as busy */
};

/* busy_max at work at a time, all_max with those that are quiet. */
int slots_init(struct slots *s, sd_event *event, unsigned busy_max, unsigned all_max,
                uint64_t quiet_after_us);
void slots_done(struct slots *s);
/* Calls go(userdata) when it is its turn, perhaps at once. Asking again while it waits or runs does
 * nothing. */
void slot_ask(struct slots *s, struct slot *slot, void (*go)(void *userdata), void *userdata);
/* Something came. */
void slot_heard(struct slot *slot);
/* Done, or no longer wanted; the next ones get their turn. */
void slot_leave(struct slot *slot);
