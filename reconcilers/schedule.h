/* Which run of a schedule is due. Pure; for CronJobs and Deschedulings. */
#pragma once

#include "lib/cron.h"

/* More missed runs than these are worth an event: a clock that jumped, or a long time without
 * anybody to start them. */
enum { SCHEDULE_MISSED_MANY = 100 };

struct schedule_due {
        int64_t last; /* the run to start, the last one up to now; 0: none */
        int64_t next; /* the one after now; 0: there will be none */
        bool many;    /* more than SCHEDULE_MISSED_MANY were missed before it */
};

/* from: the run that was started last, or when the schedule was made; seconds since the epoch, as
 * now. zone NULL: UTC. "@every" counts from `from`. Needs at most some hundred steps. */
void schedule_find_due(const struct cron *c, const struct time_zone *zone, int64_t from,
                int64_t now, struct schedule_due *ret);
