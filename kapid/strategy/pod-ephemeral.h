/* Rules about the ephemeral containers of pods. */
#pragma once

#include "kapid/strategy/strategy.h"

/* Leaves of a write of pods/ephemeralcontainers only the new list of ephemeral containers; the rest
 * of the spec becomes the old one's. -ENOMEM. */
int pod_ephemeral_prepare(const json_t *old, json_t *object);
/* One of them, at the path's end, beyond the rules for all containers. names: an object with those
 * of the pod's other containers. */
void pod_ephemeral_validate(struct findings *f, const json_t *names, const json_t *container);
/* A new pod (field: "spec.ephemeralContainers"), or the pod of a template, has none. why: the rest
 * of the message. */
void pod_ephemeral_validate_none(
                struct findings *f, const json_t *spec, const char *field, const char *why);
/* Whether that write may be made: containers may only be added. */
void pod_ephemeral_validate_update(struct findings *f, const json_t *old, const json_t *pod);
