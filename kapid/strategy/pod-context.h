/* Users, rights and kernel settings of pods. */
#pragma once

#include "kapid/strategy/strategy.h"

/* The securityContext of a pod's spec, at the path's end. */
void pod_context_validate(struct findings *f, const json_t *spec);
/* That of a container, at the path's end. */
void pod_context_validate_container(struct findings *f, const json_t *container);
