/* The addresses of load balancers that this node carries: the AddressPools say which (docs/
 * load-balancer.md). */
#pragma once

#include "nodeagent/agent.h"

struct load_balancer;

/* Watches the pools. Borrows agent. A negative errno. */
int load_balancer_new(struct load_balancer **ret, struct agent *agent);
/* Addresses stay: the kernel removes them after CARRIED_VALID_S, unless the next agent renews them
 * first. */
struct load_balancer *load_balancer_free(struct load_balancer *l);
DEFINE_CLEANUP(struct load_balancer *, load_balancer_free);

/* Adds the addresses of the pool that the node carries to `ret`, as {address: name of the pool}; an
 * address that is there already stays as it is. Pure. -ENOMEM. */
int load_balancer_addresses(const json_t *pool, const char *node, json_t *ret);
