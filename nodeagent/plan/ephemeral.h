/* Ephemeral containers in a plan (KEP-277): a unit each, as of other containers, once the image is
 * there. One that cannot be made a unit is {"container", "reason", "message"} instead. A unit may
 * have "warning": a text that begins with "spec.". Pure. */
#pragma once

#include "nodeagent/plan/plan.h"

/* Such a container runs once: what the pod's annotations say about restarts, readiness and
 * watchdogs is meant for the pod's own containers. -ENOMEM. */
int ephemeral_settle(json_t *properties);
/* NULL when out of memory; the caller unrefs. */
json_t *ephemeral_refused(const json_t *container, const struct problem *p) _warn_unused_;
/* Whether processes of the unit see those of the other one in /proc, and may look into them. Both
 * are parts of a plan. */
bool ephemeral_sees(const json_t *unit, const json_t *target);
/* Adds "warning" to the units of a plan whose targetContainerName has no effect. -ENOMEM. */
int ephemeral_warn(const json_t *pod, json_t *plan);
