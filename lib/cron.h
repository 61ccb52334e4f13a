/* Schedules as cron and Kubernetes write them: "MINUTE HOUR DAY MONTH WEEKDAY" with *, ?, lists,
 * ranges, steps and the English names of months and weekdays; @yearly (@annually), @monthly,
 * @weekly, @daily (@midnight), @hourly; "@every 1h30m". L, W, # and seconds are not part of it.
 *
 * An instant is in the schedule when it is a whole minute and the local time at it fits. So a time
 * that a day does not have, because clocks are put forward over it, does not run on that day, and
 * one that a day has twice runs twice. When both days and weekdays are limited, either may fit. */
#pragma once

#include "lib/problem.h"
#include "lib/time-zone.h"

/* Bit n: n is in it. */
struct cron {
        uint64_t minutes;
        uint32_t hours, days, months, weekdays; /* Sunday is 0 */
        bool all_days, all_weekdays;            /* written as * or ? */
        int64_t every_s;                        /* "@every": the others mean nothing; 0: no */
};

/* -EINVAL with the fault and its place in p's message. */
int cron_parse(const char *text, struct cron *ret, struct problem *p);
/* The first instant of the schedule after `after`, in seconds since the epoch. 0, or -ENOENT when
 * there is none within CRON_YEARS (the 30th of February). zone NULL: UTC. Needs at most a few
 * thousand steps. */
enum { CRON_YEARS = 9 };
int cron_next(const struct cron *c, const struct time_zone *zone, int64_t after, int64_t *ret);
