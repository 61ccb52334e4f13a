/* Of the runs that were missed only the last is due. */
#include "reconcilers/schedule.h"

/* The last instant of the schedule up to `now`, of which there is one after `from`: the largest x
 * after which the next instant is not later than now, by bisection. */
static int64_t last_until(
                const struct cron *c, const struct time_zone *zone, int64_t from, int64_t now) {
        int64_t low = from, high = now, next;

        while (high - low > 1) {
                int64_t middle = low + (high - low) / 2;

                if (cron_next(c, zone, middle, &next) == 0 && next <= now)
                        low = middle;
                else
                        high = middle;
        }
        return cron_next(c, zone, low, &next) == 0 ? next : 0;
}

void schedule_find_due(const struct cron *c, const struct time_zone *zone, int64_t from,
                int64_t now, struct schedule_due *ret) {
        int64_t at = from, next = 0;
        int missed = 0;

        *ret = (struct schedule_due){0};
        if (c->every_s > 0) {
                int64_t runs = now > from ? (now - from) / c->every_s : 0;

                *ret = (struct schedule_due){.last = runs > 0 ? from + runs * c->every_s : 0,
                                .next = from + (runs + 1) * c->every_s,
                                .many = runs > SCHEDULE_MISSED_MANY};
                return;
        }
        while (cron_next(c, zone, at, &next) == 0 && next <= now &&
                        missed <= SCHEDULE_MISSED_MANY) {
                ret->last = at = next;
                missed++;
        }
        ret->many = missed > SCHEDULE_MISSED_MANY;
        if (ret->many && cron_next(c, zone, at, &next) == 0 && next <= now)
                ret->last = last_until(c, zone, at, now);
        if (cron_next(c, zone, MAX(now, from), &next) == 0)
                ret->next = next;
}
