/* The options of lists and watches that do not fit together, in the reference server's words. */
#pragma once

#include "lib/problem.h"

/* 422 for one of them; text begins with the reason's own words ("Forbidden: ..."). -EINVAL. */
int list_options_refused(
                struct problem *p, const char *reason, const char *field, const char *text);
/* resourceVersionMatch: "", Exact or NotOlderThan. */
int list_options_check_match(const char *match, struct problem *p);
