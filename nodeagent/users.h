/* Numeric users and groups that the machine does not know: systemd refuses to run a unit as such.
 */
#pragma once

#include "lib/json.h"

/* Makes the users and groups that a unit's properties name by number, with systemd-sysusers, where
 * they are missing. */
int users_ensure(const json_t *unit);
