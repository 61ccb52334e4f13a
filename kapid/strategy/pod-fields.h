/* Fields of a pod's spec that stand for themselves. */
#pragma once

#include "kapid/strategy/strategy.h"

void pod_fields_validate(struct findings *f, const json_t *spec);
