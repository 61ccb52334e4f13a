/* Numeric users and groups that the machine does not know: systemd refuses to run a unit as such.
 */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Makes the users and groups that a unit's properties name by number, with systemd-sysusers, where
 * they are missing. -EPERM with p: the number is the account of keelson or of another program that
 * guards the machine, and the container is not privileged. */
int users_ensure(const json_t *unit, struct problem *p);
