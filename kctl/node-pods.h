/* Questions about a node that several verbs ask. */
#pragma once

#include "kctl/kctl.h"

/* The list of pods that are assigned to a node, of all namespaces: *ret is the caller's. An error
 * of the API, with p. */
int node_pods(struct kctl *k, const char *node, json_t **ret, struct problem *p);
