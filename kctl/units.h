/* kctl node units: the services of a machine, and the pods that have adopted them. */
#pragma once

#include "lib/json.h"

/* What `systemctl show` prints for several units, blocks of KEY=VALUE with an empty line between ->
 * [{"unit", "load", "state", "description", "fragment"}], without the agent's own units and those
 * that the machine does not have. Pure; NULL when out of memory. */
json_t *machine_units_parse(const char *text) _warn_unused_;
/* Adds "adoptedBy": ["namespace/pod (mode)"] by the pods of that machine. -ENOMEM. */
int machine_units_adopted(json_t *units, const json_t *pods);
