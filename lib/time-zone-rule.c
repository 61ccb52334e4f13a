/* The rule of a time zone: reading it, and its two changes in each year. */
#include "lib/time-zone-rule.h"

#include <time.h>

#define DAY_S INT64_C(86400)

enum { HOURS_MAX = 167 };

/* "<-03>" or letters. */
static bool skip_name(const char **s) {
        const char *at = *s;
        size_t n;

        if (*at == '<') {
                const char *end = strchr(at, '>');

                if (!end)
                        return false;
                *s = end + 1;
                return true;
        }
        for (n = 0; (at[n] >= 'A' && at[n] <= 'Z') || (at[n] >= 'a' && at[n] <= 'z'); n++)
                ;
        *s = at + n;
        return n >= 3;
}

static bool read_int(const char **s, int max, int *ret) {
        const char *at = *s;
        int v = 0;

        for (; *at >= '0' && *at <= '9'; at++) {
                v = v * 10 + (*at - '0');
                if (v > max)
                        return false;
        }
        if (at == *s)
                return false;
        *s = at;
        *ret = v;
        return true;
}

/* [+-]hh[:mm[:ss]] in seconds. */
static bool read_time(const char **s, int32_t *ret) {
        int parts[3] = {0, 0, 0};
        bool negative = **s == '-';

        if (**s == '-' || **s == '+')
                (*s)++;
        if (!read_int(s, HOURS_MAX, &parts[0]))
                return false;
        for (size_t i = 1; i < ELEMENTS(parts) && **s == ':'; i++) {
                (*s)++;
                if (!read_int(s, 59, &parts[i]))
                        return false;
        }
        *ret = (parts[0] * 3600 + parts[1] * 60 + parts[2]) * (negative ? -1 : 1);
        return true;
}

static bool read_month_day(const char **s, struct time_zone_change *ret) {
        int *const fields[] = {&ret->month, &ret->week, &ret->day};
        static const int lowest[] = {1, 1, 0}, highest[] = {12, 5, 6};

        ret->form = TIME_ZONE_DAY_OF_MONTH;
        for (size_t i = 0; i < ELEMENTS(fields); i++) {
                if (**s != (i == 0 ? 'M' : '.'))
                        return false;
                (*s)++;
                if (!read_int(s, highest[i], fields[i]) || *fields[i] < lowest[i])
                        return false;
        }
        return true;
}

static bool read_change(const char **s, struct time_zone_change *ret) {
        bool good;

        *ret = (struct time_zone_change){.time_s = 2 * 3600};
        if (**s == 'M')
                good = read_month_day(s, ret);
        else if (**s == 'J') {
                (*s)++;
                ret->form = TIME_ZONE_DAY_JULIAN;
                good = read_int(s, 365, &ret->day) && ret->day >= 1;
        } else {
                ret->form = TIME_ZONE_DAY_OF_YEAR;
                good = read_int(s, 365, &ret->day);
        }
        if (!good || **s != '/')
                return good;
        (*s)++;
        return read_time(s, &ret->time_s);
}

int time_zone_rule_parse(const char *text, struct time_zone_rule *ret) {
        struct time_zone_rule rule = {0};
        const char *s = text;
        int32_t west;

        if (!skip_name(&s) || !read_time(&s, &west))
                return -EINVAL;
        rule.standard_s = rule.summer_s = -west;
        if (*s) {
                rule.has_summer = true;
                rule.summer_s = rule.standard_s + 3600;
                if (!skip_name(&s))
                        return -EINVAL;
                if (*s && *s != ',') {
                        if (!read_time(&s, &west))
                                return -EINVAL;
                        rule.summer_s = -west;
                }
                if (*s++ != ',' || !read_change(&s, &rule.begin) || *s++ != ',' ||
                                !read_change(&s, &rule.end) || *s)
                        return -EINVAL;
        }
        *ret = rule;
        return 0;
}

/* The instant at which a date begins in UTC; a day after the month's last is one of the next. */
static int64_t date_at(int year, int month, int day) {
        struct tm tm = {.tm_year = year - 1900, .tm_mon = month - 1, .tm_mday = day};

        return timegm(&tm);
}

static bool is_leap(int year) {
        return date_at(year, 3, 1) - date_at(year, 2, 29) == DAY_S;
}

/* The "week"th weekday `day` of the month; the fifth may be the fourth. */
static int64_t weekday_at(const struct time_zone_change *c, int year) {
        struct tm tm = {.tm_year = year - 1900, .tm_mon = c->month - 1, .tm_mday = 1};
        int64_t first = timegm(&tm), next = date_at(year, c->month + 1, 1);
        int64_t at = first + ((c->day - tm.tm_wday + 7) % 7 + 7 * (c->week - 1)) * DAY_S;

        return at < next ? at : at - 7 * DAY_S;
}

/* The instant of a change in a year, when `offset_s` holds before it. */
static int64_t change_at(const struct time_zone_change *c, int year, int32_t offset_s) {
        int64_t day = date_at(year, 1, 1);

        if (c->form == TIME_ZONE_DAY_OF_YEAR)
                day += c->day * DAY_S;
        else if (c->form == TIME_ZONE_DAY_JULIAN)
                day += (c->day - 1 + (c->day >= 60 && is_leap(year))) * DAY_S;
        else
                day = weekday_at(c, year);
        return day + c->time_s - offset_s;
}

int32_t time_zone_rule_offset(const struct time_zone_rule *rule, int64_t at, int64_t *ret_until) {
        int64_t latest = INT64_MIN, next = INT64_MAX;
        bool summer = false;
        time_t t = at;
        struct tm tm;

        *ret_until = INT64_MAX;
        if (!rule->has_summer || !gmtime_r(&t, &tm))
                return rule->standard_s;
        /* Changes near a year's end may be at another year's instant: three years hold both
         * neighbours of any instant. */
        for (int y = tm.tm_year + 1899; y <= tm.tm_year + 1901; y++) {
                int64_t begin = change_at(&rule->begin, y, rule->standard_s),
                        end = change_at(&rule->end, y, rule->summer_s);

                if (begin <= at && begin >= latest) {
                        latest = begin;
                        summer = true;
                }
                if (end <= at && end > latest) {
                        latest = end;
                        summer = false;
                }
                next = MIN(next, begin > at ? begin : INT64_MAX);
                next = MIN(next, end > at ? end : INT64_MAX);
        }
        *ret_until = next;
        return summer ? rule->summer_s : rule->standard_s;
}
