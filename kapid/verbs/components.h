/* What ComponentStatuses say, without a request: pure. */
#pragma once

#include "lib/json.h"

/* What is wrong with a program that holds this lease while it works; lease NULL: there is none. 0
 * with *ret NULL: nothing. The caller frees. -ENOMEM. */
int component_lease_trouble(
                const json_t *lease, const char *program, uint64_t now_us, char **ret);
/* The ComponentStatus; trouble NULL: it works. A new reference; NULL when out of memory. */
json_t *component_status(const char *name, const char *trouble);
