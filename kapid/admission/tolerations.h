/* Taints and tolerations, as Kubernetes' page on them says. Pure. */
#pragma once

#include "lib/json.h"

/* The first taint with an effect of NoSchedule or NoExecute that no toleration tolerates; borrowed.
 * NULL: all are tolerated. Both may be NULL. */
const json_t *taint_not_tolerated(const json_t *taints, const json_t *tolerations);
