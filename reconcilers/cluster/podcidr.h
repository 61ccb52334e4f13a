/* Pod subnets of nodes (podcidr.c is the controller). */
#pragma once

#include "lib/problem.h"
#include "reconcilers/world.h"

/* Whether the range of pods' addresses and the size of a node's part make sense together. */
int podcidr_check(const struct world_config *config, struct problem *p);
