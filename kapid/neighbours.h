/* Whether the other API servers can be reached from here. A lease in the store shows within seconds
 * that one has died; a connection to its port shows it sooner: each is tried at every tick, and one
 * that was reached before and then twice was not is silent. A machine that is off answers nothing;
 * one whose API server has ended refuses. A server that was never reached is not judged: the way to
 * it may be closed while it lives, and its lease says so. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/base.h"

enum {
        NEIGHBOUR_ASK_US = 400 * 1000, /* sooner than that, no question counts */
        NEIGHBOUR_FAILURES_MAX = 2,    /* in a row */
};

struct neighbours;
int neighbours_new(struct neighbours **ret, sd_event *event);
struct neighbours *neighbours_free(struct neighbours *n);
DEFINE_CLEANUP(struct neighbours *, neighbours_free);
/* Looks what became of the last connection to it, and begins another. Whether it is silent. */
bool neighbours_ask(struct neighbours *n, const char *name, const char *address, uint16_t port,
                uint64_t now_us);
/* Forgets what is known of it: it counts as never reached again. */
void neighbours_forget(struct neighbours *n, const char *name);

/* What is known of one. */
struct neighbour {
        bool reached;
        unsigned failures; /* in a row */
};
/* The last question was answered, or not. Whether it is silent. Pure. */
bool neighbour_judge(struct neighbour *x, bool answered);
