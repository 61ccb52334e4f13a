/* spec.nodeSelector and node affinity of pods and volumes, on the nodes as they are in the API.
 * Pure.
 */
#pragma once

#include "lib/json.h"

/* Whether the node matches one of the terms (an array of {matchExpressions, matchFields}, or NULL)
 * of a node selector: all expressions of it. A term without any matches nothing; no terms match
 * nothing. */
bool node_terms_match(const json_t *terms, const json_t *node);
/* Whether the node has all of the labels (a map, or NULL: none are asked for). */
bool node_has_labels(const json_t *labels, const json_t *node);
/* Whether the node has the labels that a pod (or a pod template) requires. */
bool node_matches_required(const json_t *pod, const json_t *node);
