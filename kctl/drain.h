/* The draining of a node, for verbs that do more than that. */
#pragma once

#include "kctl/kctl.h"

/* As `kctl drain NODE` with the flags that are set: cordons it, and evicts its pods. */
int node_drain(struct kctl *k, const char *name, struct problem *p);
