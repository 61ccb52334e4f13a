/* Which ends of a container start it again: its own restartPolicy or the pod's, and its
 * restartPolicyRules (KEP-5307). Pure. */
#pragma once

#include "lib/json.h"

/* "Always", "OnFailure" or "Never". */
const char *container_restart_policy(const json_t *pod, const json_t *container);
/* Whether a container that ended with this code is started again. init: it is an init container,
 * which has done its work when it ended well; a sidecar always restarts. container may be NULL. */
bool container_restarts(const json_t *pod, const json_t *container, bool init, int exit_code);
