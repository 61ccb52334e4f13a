/* matchConditions: CEL expressions that a request must meet besides a webhook's rules. The only
 * place that knows how they are compiled and evaluated. */
#pragma once

#include "lib/json.h"

/* Whether the expression can be used. -EINVAL with a sentence in *ret_why (caller frees); -ENOMEM.
 */
int webhook_condition_check(const char *expression, char **ret_why);
