/* Rules about the resources of pods. */
#pragma once

#include "kapid/strategy/strategy.h"

/* Requests of spec.resources that are missing beside limits. -ENOMEM. */
int pod_resources_default(json_t *spec);
/* spec.resources against the containers' own; spec is at the path's end. */
void pod_resources_validate(struct findings *f, const json_t *spec);
/* Leaves of a write of pods/resize only the new resources of containers; the rest of the spec
 * becomes the old one's. -ENOMEM. */
int pod_resize_prepare(const json_t *old, json_t *object);
/* Whether that change may be made. */
void pod_resize_validate(struct findings *f, const json_t *old, const json_t *pod);
/* resources of a container, at the path's end. */
void pod_resources_validate_container(struct findings *f, const json_t *container);
