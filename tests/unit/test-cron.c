/* Schedules, time zones and sets of numbers. The zones are those of the system's tz database. */
#include "tests/unit/unit.h"

#include <time.h>

#include "lib/cron.h"
#include "lib/fileio.h"
#include "lib/ranges.h"
#include "lib/time-zone-rule.h"
#include "lib/timefmt.h"

static int64_t seconds(const char *time) {
        uint64_t us;

        assert_int_equal(time_parse(time, &us), 0);
        return (int64_t)(us / 1000000);
}

static void assert_next(
                const char *schedule, const char *zone, const char *after, const char *expected) {
        _cleanup_(time_zone_freep) struct time_zone *z = NULL;
        _cleanup_problem_ struct problem p = {0};
        char text[TIMEFMT_SIZE] = "never";
        struct cron c;
        int64_t next;
        int r;

        assert_int_equal(cron_parse(schedule, &c, &p), 0);
        if (zone)
                assert_int_equal(time_zone_load(zone, &z), 0);
        r = cron_next(&c, z, seconds(after), &next);
        assert_true(r == 0 || r == -ENOENT);
        if (r == 0)
                time_format((uint64_t)next * 1000000, text);
        if (!streq(text, expected))
                fail_msg("\"%s\" in %s after %s is %s and not %s", schedule, zone ? zone : "UTC",
                                after, text, expected);
}

static const struct {
        const char *schedule, *zone, *after, *next;
} next_cases[] = {
                {"* * * * *", NULL, "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
                {"* * * * *", NULL, "2026-01-01T00:00:59Z", "2026-01-01T00:01:00Z"},
                {"*/15 * * * *", NULL, "2026-01-01T00:00:01Z", "2026-01-01T00:15:00Z"},
                {"5/20 * * * *", NULL, "2026-01-01T00:26:00Z", "2026-01-01T00:45:00Z"},
                {"0 9-17/4 * * mon-fri", NULL, "2026-01-02T13:00:00Z", "2026-01-02T17:00:00Z"},
                {"0 9-17/4 * * MON-FRI", NULL, "2026-01-02T17:00:00Z", "2026-01-05T09:00:00Z"},
                {"0 0 1 jan,Jul *", NULL, "2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"},
                {"0 0 31 * *", NULL, "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z"},
                {"0 0 29 2 *", NULL, "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z"},
                {"0 0 29 2 ?", NULL, "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
                {"0 0 30 2 *", NULL, "2026-01-01T00:00:00Z", "never"},
                {"0 0 31 4,6,9,11 *", NULL, "2026-01-01T00:00:00Z", "never"},
                /* days and weekdays: either, unless one of them is a star */
                {"0 0 13 * fri", NULL, "2026-01-10T00:00:00Z", "2026-01-13T00:00:00Z"},
                {"0 0 13 * fri", NULL, "2026-01-13T00:00:00Z", "2026-01-16T00:00:00Z"},
                {"0 0 * * fri", NULL, "2026-01-10T00:00:00Z", "2026-01-16T00:00:00Z"},
                {"0 0 */2 * fri", NULL, "2026-01-10T00:00:00Z", "2026-01-11T00:00:00Z"},
                {"@hourly", NULL, "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"},
                {"@daily", NULL, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
                {"@midnight", NULL, "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
                {"@weekly", NULL, "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z"},
                {"@monthly", NULL, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"},
                {"@yearly", NULL, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
                {"@annually", NULL, "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"},
                {"@every 1h30m", NULL, "2026-01-01T00:00:07Z", "2026-01-01T01:30:07Z"},
                {"@every 10ms", NULL, "2026-01-01T00:00:07Z", "2026-01-01T00:00:08Z"},
                /* zones: half hours, the other side of the date line, winter and summer */
                {"30 9 * * *", "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T04:00:00Z"},
                {"0 0 * * *", "Pacific/Kiritimati", "2026-01-01T00:00:00Z", "2026-01-01T10:00:00Z"},
                {"0 12 * * *", "Europe/Berlin", "2026-01-15T00:00:00Z", "2026-01-15T11:00:00Z"},
                {"0 12 * * *", "Europe/Berlin", "2026-07-15T00:00:00Z", "2026-07-15T10:00:00Z"},
                /* 2026-03-29 has no 02:30 in Berlin: the run of that day is skipped */
                {"30 2 * * *", "Europe/Berlin", "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"},
                {"30 3 * * *", "Europe/Berlin", "2026-03-28T02:30:00Z", "2026-03-29T01:30:00Z"},
                {"0 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z"},
                /* 2026-10-25 has 02:30 twice */
                {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
                {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
                {"30 2 * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"},
                {"0 3 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"},
                /* a change of half an hour, and one at midnight */
                {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z",
                                "2026-04-04T14:45:00Z"},
                {"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z",
                                "2026-04-04T15:15:00Z"},
                {"0 0 * * *", "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T21:00:00Z"},
                /* Apia had no 2011-12-30 */
                {"0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-29T22:00:00Z"},
                /* after the tables' end, by the rule */
                {"0 12 * * *", "America/New_York", "2070-07-01T00:00:00Z", "2070-07-01T16:00:00Z"},
                {"30 2 * * *", "America/New_York", "2070-03-08T08:00:00Z", "2070-03-10T06:30:00Z"},
};

static void test_next(void **state) {
        for (size_t i = 0; i < ELEMENTS(next_cases); i++)
                assert_next(next_cases[i].schedule, next_cases[i].zone, next_cases[i].after,
                                next_cases[i].next);
}

/* The search agrees with looking at every minute of a year with two changes. */
static void test_next_is_exact(void **state) {
        static const char *const schedules[] = {"30 2 * * *", "17 */3 * * sun", "59 23 28-31 * *",
                        "0 0 1 * 1", "*/7 0-3 * 3,10 *"};
        static const char *const zones[] = {"Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"};

        for (size_t s = 0; s < ELEMENTS(schedules); s++)
                for (size_t z = 0; z < ELEMENTS(zones); z++) {
                        _cleanup_(time_zone_freep) struct time_zone *zone = NULL;
                        _cleanup_problem_ struct problem p = {0};
                        int64_t at = seconds("2026-01-01T00:00:00Z"), next, until;
                        struct cron c;

                        assert_int_equal(time_zone_load(zones[z], &zone), 0);
                        assert_int_equal(cron_parse(schedules[s], &c, &p), 0);
                        assert_int_equal(cron_next(&c, zone, at - 60, &next), 0);
                        for (int64_t end = at + 365 * 86400; at < end; at += 60) {
                                time_t local = at + time_zone_offset(zone, at, &until);
                                struct tm tm;
                                bool day, weekday;

                                assert_non_null(gmtime_r(&local, &tm));
                                day = c.days >> tm.tm_mday & 1;
                                weekday = c.weekdays >> tm.tm_wday & 1;
                                if (!(c.minutes >> tm.tm_min & 1) || !(c.hours >> tm.tm_hour & 1) ||
                                                !(c.months >> (tm.tm_mon + 1) & 1) ||
                                                (c.all_days || c.all_weekdays ? !day || !weekday
                                                                              : !day && !weekday)) {
                                        assert_int_not_equal(next, at);
                                        continue;
                                }
                                assert_int_equal(next, at);
                                assert_int_equal(cron_next(&c, zone, at, &next), 0);
                        }
                }
}

static void test_refused(void **state) {
        static const struct {
                const char *schedule, *why;
        } cases[] = {
                        {"", "must have 5 fields"},
                        {"* * * *", "not 4"},
                        {"* * * * * *", "not 6"},
                        {"60 * * * *", "minute \"60\": must be between 0 and 59"},
                        {"* 24 * * *", "hour \"24\": must be between 0 and 23"},
                        {"* * 0 * *", "day of the month \"0\": must be between 1 and 31"},
                        {"* * * 13 *", "month \"13\": must be between 1 and 12"},
                        {"* * * * 7", "day of the week \"7\": must be between 0 and 6 (Sunday is 0)"},
                        {"* * * foo *", "month \"foo\": must be numbers or names"},
                        {"* * L * *", "day of the month \"L\": must be numbers"},
                        {"* * 15W * *", "day of the month \"15W\""},
                        {"* * * * 5#3", "day of the week \"5#3\""},
                        {"-5 * * * *", "minute \"-5\""},
                        {"5- * * * *", "minute \"5-\""},
                        {"1-2-3 * * * *", "minute \"1-2-3\""},
                        {"30-20 * * * *", "ends before it begins"},
                        {"*/0 * * * *", "the step must be a number above 0"},
                        {"*/ * * * *", "the step must be a number above 0"},
                        {"*/5/5 * * * *", "the step must be a number above 0"},
                        {", * * * *", "minute \",\": must not be empty"},
                        {"@noon", "there are @yearly"},
                        {"@every", "there are @yearly"},
                        {"@every 5", "@every needs a duration"},
                        {"@every soon", "@every needs a duration"},
                        {"99999999999999999999 * * * *", "minute"},
        };

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_problem_ struct problem p = {0};
                struct cron c;

                assert_int_equal(cron_parse(cases[i].schedule, &c, &p), -EINVAL);
                if (!strstr(p.message, cases[i].why))
                        fail_msg("\"%s\": %s", cases[i].schedule, p.message);
        }
}

static void test_zone_names(void **state) {
        static const char *const bad[] = {"", "/etc/passwd", "../zoneinfo/UTC", "Europe/../UTC",
                        "Europe/", "Europe//Berlin", ".", "UTC\n", "a b"};
        static const char *const absent[] = {"Europe", "Mars/Base", "UTC/x"};
        _cleanup_(time_zone_freep) struct time_zone *z = NULL;
        int64_t until;

        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(time_zone_load(bad[i], &z), -EINVAL);
        for (size_t i = 0; i < ELEMENTS(absent); i++)
                assert_int_equal(time_zone_load(absent[i], &z), -ENOENT);
        assert_int_equal(time_zone_load("Etc/GMT+12", &z), 0);
        assert_int_equal(time_zone_offset(z, 0, &until), -12 * 3600);
        assert_true(until == INT64_MAX);
        assert_int_equal(time_zone_offset(NULL, 0, &until), 0);
}

/* A file that is cut, or in which a byte is changed, is refused or read within its bounds. */
static void test_damaged_zone(void **state) {
        _cleanup_free_ char *data = NULL;
        size_t n;

        assert_int_equal(file_read("/usr/share/zoneinfo/Europe/Berlin", 65536, &data, &n), 0);
        for (size_t i = 0; i < n; i++) {
                _cleanup_(time_zone_freep) struct time_zone *cut = NULL, *changed = NULL;
                _cleanup_free_ char *exact = malloc(i + 1);
                char kept = data[i];
                int64_t until;

                memcpy(exact, data, i);
                assert_int_equal(time_zone_parse(exact, i, &cut), -EBADMSG);
                data[i] = (char)~kept;
                if (time_zone_parse(data, n, &changed) == 0)
                        (void)time_zone_offset(changed, 1800000000, &until);
                data[i] = kept;
        }
}

static void test_zone_rules(void **state) {
        static const struct {
                const char *rule, *at;
                int offset_s;
        } cases[] = {
                        {"CET-1CEST,M3.5.0,M10.5.0/3", "2050-03-27T00:59:59Z", 3600},
                        {"CET-1CEST,M3.5.0,M10.5.0/3", "2050-03-27T01:00:00Z", 7200},
                        {"CET-1CEST,M3.5.0,M10.5.0/3", "2050-10-30T00:59:59Z", 7200},
                        {"CET-1CEST,M3.5.0,M10.5.0/3", "2050-10-30T01:00:00Z", 3600},
                        /* summer over the year's end */
                        {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2050-01-01T00:00:00Z", 39600},
                        {"AEST-10AEDT,M10.1.0,M4.1.0/3", "2050-07-01T00:00:00Z", 36000},
                        /* hours below 0 and above 24; names in brackets */
                        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2050-03-27T00:59:59Z", -7200},
                        {"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2050-03-27T01:00:00Z", -3600},
                        {"EET-2EEST,M3.4.4/50,M10.4.4/50", "2050-03-26T00:00:00Z", 10800},
                        {"XXX3YYY,J60,J300", "2048-03-01T04:59:59Z", -10800},
                        {"XXX3YYY,J60,J300", "2048-03-01T05:00:00Z", -7200},
                        {"XXX3YYY,59,299", "2048-02-29T05:00:00Z", -7200},
                        {"UTC0", "2050-01-01T00:00:00Z", 0},
        };
        static const char *const bad[] = {"", "A", "CET", "CET-1CEST", "CET-1CEST,M3.5.0",
                        "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,M10.5.0",
                        "CET-1CEST,M3.5.7,M10.5.0", "CET-168", "<-02", "CET-1CEST,J0,J366",
                        "CET-1CEST,M3.5.0,M10.5.0/3x", "CET-99999999999"};
        struct time_zone_rule rule;
        int64_t until;

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                assert_int_equal(time_zone_rule_parse(cases[i].rule, &rule), 0);
                assert_int_equal(time_zone_rule_offset(&rule, seconds(cases[i].at), &until),
                                cases[i].offset_s);
                assert_true(until > seconds(cases[i].at));
        }
        for (size_t i = 0; i < ELEMENTS(bad); i++)
                assert_int_equal(time_zone_rule_parse(bad[i], &rule), -EINVAL);
}

static void test_ranges(void **state) {
        static const struct {
                const char *text, *written; /* NULL: refused */
        } cases[] = {
                        {"", ""},
                        {"1", "1"},
                        {"1,3-5,7", "1,3-5,7"},
                        {"1,2", "1,2"},
                        {"1,2,3", "1-3"},
                        {"0-99", "0-99"},
                        {"0-1", "0,1"},
                        {"100", NULL},
                        {"5-100", NULL},
                        {"3,1", NULL},
                        {"1-3,3", NULL},
                        {"3-1", NULL},
                        {"1,", NULL},
                        {",1", NULL},
                        {"a", NULL},
                        {"1-", NULL},
                        {"-1", NULL},
                        {"1--2", NULL},
                        {"99999999999", NULL},
                        {"1 ,2", NULL},
        };
        _cleanup_ranges_ struct ranges r = {0}, other = {0};

        for (size_t i = 0; i < ELEMENTS(cases); i++) {
                _cleanup_free_ char *text = NULL;
                const char *error = NULL;

                assert_int_equal(ranges_parse(cases[i].text, 100, &r, &error),
                                cases[i].written ? 0 : -EINVAL);
                assert_true(cases[i].written || error);
                text = ranges_text(&r);
                if (cases[i].written)
                        assert_string_equal(text, cases[i].written);
        }
        assert_int_equal(ranges_parse("0-2,6-8", 100, &r, NULL), 0);
        assert_int_equal(ranges_parse("2-6,8-20", 100, &other, NULL), 0);
        assert_int_equal(ranges_count(&r), 6);
        assert_int_equal(ranges_count_common(&r, &other), 3);
        assert_int_equal(ranges_next_free(&r, 0), 3);
        assert_int_equal(ranges_next_free(&r, 4), 4);
        assert_int_equal(ranges_next_free(&r, 7), 9);
}

/* Any order of adding gives the same set. */
static void test_ranges_add(void **state) {
        static const uint32_t order[] = {7, 3, 5, 4, 0, 7, 6, 99, 1, 50, 3};
        _cleanup_ranges_ struct ranges r = {0};
        _cleanup_free_ char *text = NULL;

        for (size_t i = 0; i < ELEMENTS(order); i++) {
                assert_int_equal(ranges_have(&r, order[i]), i == 5 || i == 10);
                assert_int_equal(ranges_add(&r, order[i]), 0);
                assert_true(ranges_have(&r, order[i]));
        }
        text = ranges_text(&r);
        assert_string_equal(text, "0,1,3-7,50,99");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                        cmocka_unit_test(test_next),
                        cmocka_unit_test(test_next_is_exact),
                        cmocka_unit_test(test_refused),
                        cmocka_unit_test(test_zone_names),
                        cmocka_unit_test(test_damaged_zone),
                        cmocka_unit_test(test_zone_rules),
                        cmocka_unit_test(test_ranges),
                        cmocka_unit_test(test_ranges_add),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
