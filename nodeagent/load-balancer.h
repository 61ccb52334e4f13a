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
/* At each tick: whether the pools must be read again, because contact with the control plane has
 * come back. lapsed: of the last tick, updated. Pure. */
bool load_balancer_must_list(bool *lapsed, bool in_touch);
/* Whether an address that was given up at that time, because another machine had it, may be taken
 * again when the pools name this node. known: the pools were read since the contact came back, and
 * the node is in touch. Pure. */
bool load_balancer_may_take_back(uint64_t given_up_us, uint64_t now_us, bool known);
