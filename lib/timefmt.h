/* Time as the API writes it, and ages as kubectl prints them. Clocks are read only here. */
#pragma once

#include "lib/base.h"

enum { TIMEFMT_SIZE = 40 };

/* Wall clock and monotonic clock in microseconds. */
uint64_t now_wall_us(void);
uint64_t now_mono_us(void);
/* Seconds from outside as microseconds: negative ones are 0, and more than 100 years are 100 years,
 * so that no sum with a time overflows. */
uint64_t seconds_us(int64_t seconds);
/* RFC 3339 UTC, seconds: "2024-01-02T03:04:05Z". */
const char *time_format(uint64_t wall_us, char buffer[static TIMEFMT_SIZE]);
/* RFC 3339 UTC with six digits: MicroTime. */
const char *time_format_micro(uint64_t wall_us, char buffer[static TIMEFMT_SIZE]);
/* Any RFC 3339 time -> microseconds since the epoch. -EINVAL. */
int time_parse(const char *s, uint64_t *ret_wall_us);
/* "5s", "3m10s", "12m", "5h", "3d4h", "40d", "2y30d" (docs/wire.md section 16). */
const char *age_format(uint64_t age_us, char buffer[static TIMEFMT_SIZE]);
