/* spec.nodeSelector and node affinity of pods, on the nodes as they are in the API. Pure. */
#pragma once

#include "lib/json.h"

/* Whether the node matches a term ({matchExpressions, matchFields}) of a node selector: all of its
 * expressions; a term without any matches nothing. */
bool node_term_matches(const json_t *term, const json_t *node);
/* Whether the node has the labels that a pod (or a pod template) requires. */
bool node_matches_required(const json_t *pod, const json_t *node);
