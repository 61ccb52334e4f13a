/* The rule at the end of a compiled zone, which says what holds after its table: a POSIX TZ string
 * ("CET-1CEST,M3.5.0,M10.5.0/3") with the extensions of RFC 8536, section 3.3. */
#pragma once

#include "lib/base.h"

/* When a year's change happens: a day and the local time on it, in seconds. */
struct time_zone_change {
        enum time_zone_day {
                TIME_ZONE_DAY_JULIAN,  /* day 1 to 365, the 29th of February is not counted */
                TIME_ZONE_DAY_OF_YEAR, /* day 0 to 365, it is counted */
                TIME_ZONE_DAY_OF_MONTH /* weekday `day` of week `week` (5: the last) of `month` */
        } form;
        int month, week, day;
        int32_t time_s;
};
struct time_zone_rule {
        int32_t standard_s, summer_s; /* offsets from UTC */
        bool has_summer;
        struct time_zone_change begin, end; /* of summer time */
};
/* -EINVAL. */
int time_zone_rule_parse(const char *text, struct time_zone_rule *ret);
/* As time_zone_offset() (lib/time-zone.h). */
int32_t time_zone_rule_offset(const struct time_zone_rule *rule, int64_t at, int64_t *ret_until);
