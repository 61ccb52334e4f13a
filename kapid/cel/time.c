/* Timestamps and durations: conversions, arithmetic within their bounds, parts of dates in any time
 * zone. */
#include "kapid/cel/time.h"

#include "kapid/cel/internal.h"
#include "lib/time-zone.h"

enum { ZONES_KEPT = 8 };

struct run_zone {
        struct run_zone *next;
        struct time_zone *zone;
        char name[];
};

void cel_zones_done(struct cel_run *run) {
        while (run->zones) {
                struct run_zone *next = run->zones->next;

                time_zone_free(run->zones->zone);
                free(run->zones);
                run->zones = next;
        }
}

static struct cel_value timestamp_overflow(struct cel_run *run) {
        return cel_error(run, "timestamp overflow");
}

static struct cel_value duration_overflow(struct cel_run *run) {
        return cel_error(run, "duration overflow");
}

static struct cel_value timestamp_of_string(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value v;

        (void)n;
        if (!cel_parse_timestamp(a[0].text.data, a[0].text.size, &v))
                return cel_error(run, "type conversion error from 'string' to "
                                      "'google.protobuf.Timestamp'");
        return v;
}

static struct cel_value timestamp_of_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        if (a[0].integer < CEL_TIMESTAMP_MIN || a[0].integer > CEL_TIMESTAMP_MAX)
                return timestamp_overflow(run);
        return cel_timestamp(a[0].integer, 0);
}

static struct cel_value duration_of_string(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value v;

        (void)n;
        if (!cel_parse_duration(a[0].text.data, a[0].text.size, &v))
                return cel_error(run, "type conversion error from 'string' to "
                                      "'google.protobuf.Duration'");
        return v;
}

static struct cel_value itself(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return a[0];
}

static struct cel_value string_of_timestamp(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        char buffer[CEL_TIME_SIZE];
        const char *text = cel_timestamp_text(a[0], buffer);

        (void)n;
        return cel_string(run, text, strlen(text));
}

static struct cel_value string_of_duration(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        char buffer[CEL_TIME_SIZE];
        const char *text = cel_duration_text(a[0], buffer);

        (void)n;
        return cel_string(run, text, strlen(text));
}

static struct cel_value moved(struct cel_run *run, struct cel_value t, __int128 nanos) {
        __int128 at = (__int128)t.integer * CEL_TIMESTAMP_NANOS + t.nanos + nanos;
        int64_t seconds = (int64_t)(at / CEL_TIMESTAMP_NANOS);
        int64_t left = (int64_t)(at % CEL_TIMESTAMP_NANOS);

        if (left < 0) {
                left += CEL_TIMESTAMP_NANOS;
                seconds--;
        }
        if (seconds < CEL_TIMESTAMP_MIN || seconds > CEL_TIMESTAMP_MAX)
                return timestamp_overflow(run);
        return cel_timestamp(seconds, (uint32_t)left);
}

static struct cel_value add_to_time(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].kind == CEL_TIMESTAMP ? moved(run, a[0], a[1].integer)
                                          : moved(run, a[1], a[0].integer);
}

static struct cel_value subtract_from_time(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return moved(run, a[0], -(__int128)a[1].integer);
}

static struct cel_value between(struct cel_run *run, const struct cel_value *a, size_t n) {
        __int128 nanos = ((__int128)a[0].integer - a[1].integer) * CEL_TIMESTAMP_NANOS +
                         a[0].nanos - a[1].nanos;

        (void)n;
        if (nanos > INT64_MAX || nanos < INT64_MIN)
                return duration_overflow(run);
        return cel_duration((int64_t)nanos);
}

static struct cel_value add_durations(struct cel_run *run, const struct cel_value *a, size_t n) {
        int64_t r;

        (void)n;
        return __builtin_add_overflow(a[0].integer, a[1].integer, &r) ? duration_overflow(run)
                                                                      : cel_duration(r);
}

static struct cel_value subtract_durations(
                struct cel_run *run, const struct cel_value *a, size_t n) {
        int64_t r;

        (void)n;
        return __builtin_sub_overflow(a[0].integer, a[1].integer, &r) ? duration_overflow(run)
                                                                      : cel_duration(r);
}

static struct cel_value negate_duration(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].integer == INT64_MIN ? duration_overflow(run) : cel_duration(-a[0].integer);
}

/* The zone of a name, kept for the run. NULL with an error value. */
static const struct time_zone *zone_of(
                struct cel_run *run, struct cel_value name, struct cel_value *ret_error) {
        char *text = cel_c_text(run, name);
        struct run_zone *z;
        size_t count = 0;

        for (z = run->zones; z && text; z = z->next, count++)
                if (streq(z->name, text))
                        return z->zone;
        if (count >= ZONES_KEPT)
                cel_zones_done(run);
        z = text ? calloc(1, sizeof(*z) + strlen(text) + 1) : NULL;
        if (!z || time_zone_load(text, &z->zone) < 0) {
                free(z);
                *ret_error = cel_error(run, "unknown time zone %.*s",
                                (int)MIN(name.text.size, (size_t)100), name.text.data);
                return NULL;
        }
        memcpy(z->name, text, strlen(text) + 1);
        z->next = run->zones;
        run->zones = z;
        return z->zone;
}

/* "02:00", "-08:30": seconds east of UTC. */
static bool fixed_zone(struct cel_value text, int64_t *ret) {
        const char *s = text.text.data, *end = s + text.text.size;
        const char *colon = memchr(s, ':', text.text.size);
        bool west = s < end && *s == '-';
        int64_t hours = 0, minutes = 0;

        if (!colon)
                return false;
        if (s < end && (*s == '-' || *s == '+'))
                s++;
        if (colon - s < 1 || colon - s > 2 || end - colon != 3)
                return false;
        for (const char *c = s; c < end; c++) {
                if (c == colon)
                        continue;
                if (*c < '0' || *c > '9')
                        return false;
                if (c < colon)
                        hours = hours * 10 + (*c - '0');
                else
                        minutes = minutes * 10 + (*c - '0');
        }
        if (minutes > 59)
                return false;
        *ret = (hours * 60 + minutes) * (west ? -60 : 60);
        return true;
}

/* Seconds of the local clock; false with an error value. */
static bool local(struct cel_run *run, const struct cel_value *a, size_t n, int64_t *ret,
                struct cel_value *ret_error) {
        const struct time_zone *zone;
        int64_t offset = 0, until;

        if (n > 1 && !cel_is_text(a[1], "UTC") && a[1].text.size > 0) {
                if (memchr(a[1].text.data, ':', a[1].text.size)) {
                        if (!fixed_zone(a[1], &offset)) {
                                *ret_error = cel_error(run, "invalid time zone offset %.*s",
                                                (int)MIN(a[1].text.size, (size_t)100),
                                                a[1].text.data);
                                return false;
                        }
                } else {
                        zone = zone_of(run, a[1], ret_error);
                        if (!zone)
                                return false;
                        offset = time_zone_offset(zone, a[0].integer, &until);
                }
        }
        *ret = a[0].integer + offset;
        return true;
}

struct date {
        int64_t days, year;
        unsigned month, day;
        int64_t seconds; /* of the day */
};

static bool date_of(struct cel_run *run, const struct cel_value *a, size_t n, struct date *ret,
                struct cel_value *ret_error) {
        int64_t at;

        if (!local(run, a, n, &at, ret_error))
                return false;
        ret->days = at / 86400;
        ret->seconds = at % 86400;
        if (ret->seconds < 0) {
                ret->seconds += 86400;
                ret->days--;
        }
        cel_date_of_days(ret->days, &ret->year, &ret->month, &ret->day);
        return true;
}

#define PART(name, expression) \
        static struct cel_value name(struct cel_run *run, const struct cel_value *a, size_t n) { \
                struct cel_value error; \
                struct date d; \
\
                if (!date_of(run, a, n, &d, &error)) \
                        return error; \
                return cel_int((int64_t)(expression)); \
        }

PART(full_year, d.year)
PART(month, d.month - 1)
PART(day_of_year, d.days - cel_days_of_date(d.year, 1, 1))
PART(day_of_month, d.day - 1)
PART(date, d.day)
PART(day_of_week, ((d.days + 4) % 7 + 7) % 7)
PART(hours, d.seconds / 3600)
PART(minutes, d.seconds / 60 % 60)
PART(seconds, d.seconds % 60)
PART(milliseconds, a[0].nanos / 1000000)

#define TOTAL(name, nanos) \
        static struct cel_value name(struct cel_run *run, const struct cel_value *a, size_t n) { \
                (void)run; \
                (void)n; \
                return cel_int(a[0].integer / (nanos)); \
        }

TOTAL(total_hours, INT64_C(3600000000000))
TOTAL(total_minutes, INT64_C(60000000000))
TOTAL(total_seconds, INT64_C(1000000000))
TOTAL(total_milliseconds, 1000000)

#define PART_ROWS(name, call) \
        {name, CEL_MEMBER, "(timestamp) -> int", call, NULL, NULL, NULL}, { \
                name, CEL_MEMBER, "(timestamp, string) -> int", call, NULL, NULL, NULL \
        }

static const struct cel_row rows[] = {
                {"timestamp", 0, "(timestamp) -> timestamp", itself, NULL, NULL, NULL},
                {"timestamp", 0, "(string) -> timestamp", timestamp_of_string, NULL, NULL, NULL},
                {"timestamp", 0, "(int) -> timestamp", timestamp_of_int, NULL, NULL, NULL},
                {"duration", 0, "(duration) -> duration", itself, NULL, NULL, NULL},
                {"duration", 0, "(string) -> duration", duration_of_string, NULL, NULL, NULL},
                {"string", 0, "(timestamp) -> string", string_of_timestamp, NULL, NULL, NULL},
                {"string", 0, "(duration) -> string", string_of_duration, NULL, NULL, NULL},
                {"_+_", 0, "(timestamp, duration) -> timestamp", add_to_time, NULL, NULL, NULL},
                {"_+_", 0, "(duration, timestamp) -> timestamp", add_to_time, NULL, NULL, NULL},
                {"_+_", 0, "(duration, duration) -> duration", add_durations, NULL, NULL, NULL},
                {"_-_", 0, "(timestamp, timestamp) -> duration", between, NULL, NULL, NULL},
                {"_-_", 0, "(timestamp, duration) -> timestamp", subtract_from_time, NULL, NULL,
                                NULL},
                {"_-_", 0, "(duration, duration) -> duration", subtract_durations, NULL, NULL,
                                NULL},
                {"-_", 0, "(duration) -> duration", negate_duration, NULL, NULL, NULL},
                PART_ROWS("getFullYear", full_year),
                PART_ROWS("getMonth", month),
                PART_ROWS("getDayOfYear", day_of_year),
                PART_ROWS("getDayOfMonth", day_of_month),
                PART_ROWS("getDate", date),
                PART_ROWS("getDayOfWeek", day_of_week),
                PART_ROWS("getHours", hours),
                PART_ROWS("getMinutes", minutes),
                PART_ROWS("getSeconds", seconds),
                PART_ROWS("getMilliseconds", milliseconds),
                {"getHours", CEL_MEMBER, "(duration) -> int", total_hours, NULL, NULL, NULL},
                {"getMinutes", CEL_MEMBER, "(duration) -> int", total_minutes, NULL, NULL, NULL},
                {"getSeconds", CEL_MEMBER, "(duration) -> int", total_seconds, NULL, NULL, NULL},
                {"getMilliseconds", CEL_MEMBER, "(duration) -> int", total_milliseconds, NULL, NULL,
                                NULL},
};

const struct cel_library cel_library_time = {
                .name = "time", .rows = rows, .row_count = ELEMENTS(rows)};
