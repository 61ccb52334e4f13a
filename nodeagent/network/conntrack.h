/* The kernel's connection tracking, as far as services need it: UDP flows to endpoints that are
 * gone. Blocks: for a thread beside the loop. */
#pragma once

#include "lib/json.h"

/* Ends the UDP flows that flow_is_stale() (services-to-nft.h) names; the sender's next packet finds
 * an endpoint of today. service_cidr NULL: only what `flows` names. Returns how many, or negative
 * errno. */
int conntrack_sweep(const json_t *flows, const char *service_cidr);
