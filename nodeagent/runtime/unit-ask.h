/* One question about a unit, asked at once and waited for: for commands, not for the agent's loop.
 */
#pragma once

#include "lib/base.h"

/* Whether this run (invocation, 32 hex digits) of the unit continues: 1, or 0 when it has ended,
 * another one has begun or the unit is gone. Negative errno when systemd cannot be asked. */
int unit_run_goes_on(const char *unit, const char *invocation);
