/* How much of what costs a client nothing a server takes: pure. The budget is kept as one time, the
 * moment at which it was or will be whole again: each frame moves it on by its share of a second.
 * So an idle connection needs no attention, and no clock is asked but when such a frame comes. */
#pragma once

#include "lib/base.h"

/* Whether a frame, by its head, is one that asks for work and gives nothing: a reset of a request
 * (CVE-2023-44487), PING, SETTINGS, PRIORITY, a CONTINUATION, DATA without a byte that does not end
 * anything. Unknown kinds are dropped before anybody is asked. */
bool h2_calm_costs(uint8_t type, uint8_t flags, size_t length);
/* Takes one frame from the budget *whole_us (0: whole) of per_s a second and at_once more. False
 * when there is nothing left. */
bool h2_calm_spend(uint64_t *whole_us, uint64_t now_us, unsigned per_s, unsigned at_once);
