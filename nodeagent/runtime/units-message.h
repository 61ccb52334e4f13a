/* JSON unit descriptions into D-Bus messages, and unit properties out of them. */
#pragma once

#include <systemd/sd-bus.h>

#include "lib/json.h"
#include "nodeagent/runtime/units.h"

/* Appends the a(sv) of a unit's properties. */
int units_append_properties(sd_bus_message *m, const json_t *properties);
int units_append_property(sd_bus_message *m, const char *name, const json_t *value);
/* Reads an a{sv} of changed or all properties into the state. */
int units_read_properties(sd_bus_message *m, struct unit_state *state);
