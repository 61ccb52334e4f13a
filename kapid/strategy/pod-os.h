/* The operating system that a pod is for, and the fields that only one of them has. */
#pragma once

#include "kapid/strategy/strategy.h"

void pod_os_validate(struct findings *f, const json_t *spec);
