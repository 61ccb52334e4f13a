/* Clocks that differ: certificates are valid by the clock of whoever looks at them. */
#pragma once

#include "lib/base.h"

/* A clock was not asked. */
#define CLOCK_UNKNOWN INT64_MIN
enum { CLOCK_SKEW_MAX_S = 300 };

/* A sentence that names the clock that is wrong, by how much, and the remedy; *ret is NULL when
 * they agree. machine_s and api_s: how far the clocks of the machine and of the API server are
 * ahead of this one, whose time is now_s. -ENOMEM. Pure. */
int clock_problem(const char *machine, int64_t machine_s, int64_t api_s, uint64_t now_s,
                char **ret);
/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110) in seconds since the epoch. -EINVAL. Pure. */
int clock_parse_http(const char *date, int64_t *ret_s);
