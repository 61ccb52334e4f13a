/* The status of objects that are new: what Kubernetes' types write where nothing was observed yet.
 */
#pragma once

#include "kapid/kinds/kind.h"

/* Sets it where the object has no status. -ENOMEM. */
int strategy_initial_status(const struct kind *k, json_t *object);
