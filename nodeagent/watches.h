/* The watches: this node's pods, all services, endpoint slices and nodes. Changes go to the pod
 * machine, the service table and the routes; services are kept on disk for a start without the
 * control plane. */
#pragma once

#include "nodeagent/agent.h"

/* Borrows agent, whose api, pods, nft and node must be there. -ENOMEM or another negative errno. */
int watches_new(struct watches **ret, struct agent *agent);
struct watches *watches_free(struct watches *s);
DEFINE_CLEANUP(struct watches *, watches_free);
/* Whether the first lists of all four are in. */
bool watches_are_synced(const struct watches *s);
/* Sets the routes to the other nodes' pods that the disk remembers. */
void watches_load_routes(struct agent *agent);
