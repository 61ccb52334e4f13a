/* The routes to the pods of nodes on this machine's networks, which lead through a gateway. */
#pragma once

#include "lib/map.h"

struct nl_sock;
/* Zero-initialise. */
struct near_routes {
        struct map *set; /* what the last call set without an error; NULL: nothing is known */
};
/* routes: range of pods -> gateway (char *); taken when all are set. Removes those of our routes
 * that are not in it; those of the link `overlay` are another's. Returns the first error, after
 * doing what can be done. */
int near_routes_set(struct near_routes *n, struct nl_sock *s, struct map **routes, int overlay);
/* Also when the kernel may have lost routes: all are set again by the next call. */
void near_routes_done(struct near_routes *n);
