/* Taints and tolerations (nodes' spec.taints, pods' spec.tolerations). Pure. */
#pragma once

#include "lib/json.h"

/* Whether the toleration ({key, operator, value, effect}) matches the taint ({key, value, effect}).
 */
bool toleration_matches(const json_t *toleration, const json_t *taint);
/* Whether the pod tolerates a taint without value. */
bool pod_tolerates_key(const json_t *pod, const char *key, const char *effect);
/* Whether one of the pod's tolerations matches. *ret_seconds (may be NULL): for how long at least,
 * over the matching ones; -1: forever. */
bool pod_tolerates(const json_t *pod, const json_t *taint, int64_t *ret_seconds);
