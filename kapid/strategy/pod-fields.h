/* Fields of a pod's spec that stand for themselves. */
#pragma once

#include "kapid/strategy/strategy.h"

void pod_fields_validate(struct findings *f, const json_t *spec);
/* The tolerations of a pod's spec, or of what adds some to it. */
void pod_fields_validate_tolerations(struct findings *f, const json_t *spec);
