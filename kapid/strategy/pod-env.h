/* The environment of containers, and what it takes from the pod and from other objects. */
#pragma once

#include "kapid/strategy/strategy.h"

/* env and envFrom of a container, at the path's end. */
void pod_env_validate(struct findings *f, const json_t *container);
/* A field of the pod and an amount of a container, at the path's end; in a volume's file (true) or
 * in a variable. */
void pod_validate_field_ref(struct findings *f, const json_t *ref, bool file);
void pod_validate_resource_ref(struct findings *f, const json_t *ref, bool file);
