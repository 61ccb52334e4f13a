/* The watches: this node's pods, all services, endpoint slices and nodes. What they bring goes to
 * the pod machine, the service table and the routes; services are kept on disk for a start without
 * the control plane. */
#pragma once

#include "nodeagent/agent.h"

int sync_new(struct sync **ret, struct agent *agent);
struct sync *sync_free(struct sync *s);
DEFINE_CLEANUP(struct sync *, sync_free);
bool sync_is_synced(const struct sync *s);
/* Loads the services that the disk remembers into the table. */
void sync_load_services(struct agent *agent);
/* Sets the routes to the other nodes' pods that the disk remembers. */
void sync_load_routes(struct agent *agent);
