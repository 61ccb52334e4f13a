/* Nodes are given the servers of the API and their CA, over SSH. */
#pragma once

#include "kctl/kctl.h"

/* nodes: Node objects. A few at once; a line for each is printed. servers ends with NULL; the first
 * is the one that a node begins with. *ret_failed: how many could not be reached or do not report;
 * their errors were printed. */
int nodes_repoint(struct kctl *k, const json_t *nodes, char *const *servers, const char *ca,
                size_t *ret_failed, struct problem *p);
