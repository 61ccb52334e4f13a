/* The kernel's connection tracking, as far as services need it: UDP flows to endpoints that no
 * longer exist. Blocks: call it on a worker thread. */
#pragma once

#include "lib/address.h"
#include "lib/json.h"

/* Deletes the UDP flows that flow_is_stale() (services-to-nft.h) selects, so that the sender's next
 * packet reaches a current endpoint. service_cidr NULL: only the addresses in `flows`. Returns the
 * number of deleted flows or a negative errno. */
int conntrack_sweep(const json_t *flows, const char *const service_cidr[FAMILIES]);
