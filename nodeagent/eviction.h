/* The driver of node-pressure eviction (eviction-plan.h). */
#pragma once

#include "nodeagent/agent.h"
#include "nodeagent/eviction-plan.h"

struct eviction;

/* Looks every ten seconds, and at once when the kernel reports that programs wait for memory.
 * Borrows agent. -EINVAL with p: a flag cannot be read. */
int eviction_new(struct eviction **ret, struct agent *agent, struct problem *p);
struct eviction *eviction_free(struct eviction *e);
DEFINE_CLEANUP(struct eviction *, eviction_free);
bool eviction_has_pressure(const struct eviction *e, enum node_pressure pressure);
