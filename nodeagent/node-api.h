/* What the agent itself answers over HTTP, for /api/v1/nodes/NAME/proxy/PATH: the paths of a
 * kubelet that read, as far as an agent has them. On a Unix socket for root alone: it is reached
 * through `knodeagent ssh` (nodeagent/streams/), by whom the API server lets in. Nothing here
 * changes or runs anything. */
#pragma once

#include "nodeagent/agent.h"

struct node_api;
/* Borrows the agent; answers what is there by then. p names the socket and the cause. */
int node_api_new(struct node_api **ret, struct agent *a, struct problem *p);
struct node_api *node_api_free(struct node_api *n);
DEFINE_CLEANUP(struct node_api *, node_api_free);
