/* Times in the API's forms, and the clocks. */
#include "lib/timefmt.h"

#include <time.h>

/* 9999-12-31T23:59:59Z: a year has four digits (RFC 3339). */
#define LAST_S INT64_C(253402300799)

static uint64_t clock_us(clockid_t id) {
        struct timespec ts;

        clock_gettime(id, &ts);
        return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t now_wall_us(void) {
        return clock_us(CLOCK_REALTIME);
}

uint64_t now_mono_us(void) {
        return clock_us(CLOCK_MONOTONIC);
}

static struct tm broken_down(uint64_t wall_us) {
        time_t t = (time_t)(wall_us / 1000000);
        struct tm tm = {0};

        gmtime_r(&t, &tm);
        return tm;
}

uint64_t seconds_us(int64_t seconds) {
        int64_t most = INT64_C(100) * 365 * 86400;

        return (uint64_t)(seconds < 0 ? 0 : MIN(seconds, most)) * 1000000;
}

const char *time_format(uint64_t wall_us, char buffer[static TIMEFMT_SIZE]) {
        struct tm tm = broken_down(wall_us);

        strftime(buffer, TIMEFMT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
        return buffer;
}

const char *time_format_micro(uint64_t wall_us, char buffer[static TIMEFMT_SIZE]) {
        struct tm tm = broken_down(wall_us);
        size_t n = strftime(buffer, TIMEFMT_SIZE, "%Y-%m-%dT%H:%M:%S", &tm);

        snprintf(buffer + n, TIMEFMT_SIZE - n, ".%06uZ", (unsigned)(wall_us % 1000000));
        return buffer;
}

/* Two or more decimal digits at *s; moves on. */
static int digits(const char **s, unsigned n, int *ret) {
        int v = 0;

        for (; n > 0; n--, (*s)++) {
                if (**s < '0' || **s > '9')
                        return -EINVAL;
                v = v * 10 + (**s - '0');
        }
        *ret = v;
        return 0;
}

static int expect(const char **s, char c) {
        if (**s != c)
                return -EINVAL;
        (*s)++;
        return 0;
}

static int parse_offset(const char **s, int *ret_seconds) {
        int sign, hours, minutes;

        if (**s == 'Z' || **s == 'z') {
                (*s)++;
                *ret_seconds = 0;
                return 0;
        }
        if (**s != '+' && **s != '-')
                return -EINVAL;
        sign = *(*s)++ == '-' ? -1 : 1;
        if (digits(s, 2, &hours) < 0 || expect(s, ':') < 0 || digits(s, 2, &minutes) < 0 ||
                        hours > 23 || minutes > 59)
                return -EINVAL;
        *ret_seconds = sign * (hours * 3600 + minutes * 60);
        return 0;
}

int time_parse(const char *s, uint64_t *ret_wall_us) {
        struct tm tm = {0};
        unsigned micro = 0;
        int offset;

        if (!s || digits(&s, 4, &tm.tm_year) < 0 || expect(&s, '-') < 0 ||
                        digits(&s, 2, &tm.tm_mon) < 0 || expect(&s, '-') < 0 ||
                        digits(&s, 2, &tm.tm_mday) < 0 || (*s != 'T' && *s != 't'))
                return -EINVAL;
        s++;
        if (digits(&s, 2, &tm.tm_hour) < 0 || expect(&s, ':') < 0 ||
                        digits(&s, 2, &tm.tm_min) < 0 || expect(&s, ':') < 0 ||
                        digits(&s, 2, &tm.tm_sec) < 0)
                return -EINVAL;
        if (*s == '.') {
                unsigned scale = 100000;

                if (*++s < '0' || *s > '9')
                        return -EINVAL;
                for (; *s >= '0' && *s <= '9'; s++, scale /= 10)
                        micro += (unsigned)(*s - '0') * scale;
        }
        if (parse_offset(&s, &offset) < 0 || *s)
                return -EINVAL;
        if (tm.tm_year < 1970 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
                        tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
                return -EINVAL;
        tm.tm_year -= 1900;
        tm.tm_mon -= 1;
        time_t t = timegm(&tm) - offset;
        if (t < 0 || t > LAST_S)
                return -EINVAL;
        *ret_wall_us = (uint64_t)t * 1000000 + micro;
        return 0;
}

const char *age_format(uint64_t age_us, char buffer[static TIMEFMT_SIZE]) {
        uint64_t s = age_us / 1000000, m = s / 60, h = m / 60, d = h / 24;

        if (s < 120)
                snprintf(buffer, TIMEFMT_SIZE, "%us", (unsigned)s);
        else if (m < 10 && s % 60)
                snprintf(buffer, TIMEFMT_SIZE, "%um%us", (unsigned)m, (unsigned)(s % 60));
        else if (m < 180)
                snprintf(buffer, TIMEFMT_SIZE, "%um", (unsigned)m);
        else if (h < 8 && m % 60)
                snprintf(buffer, TIMEFMT_SIZE, "%uh%um", (unsigned)h, (unsigned)(m % 60));
        else if (h < 48)
                snprintf(buffer, TIMEFMT_SIZE, "%uh", (unsigned)h);
        else if (d < 8 && h % 24)
                snprintf(buffer, TIMEFMT_SIZE, "%ud%uh", (unsigned)d, (unsigned)(h % 24));
        else if (d < 730)
                snprintf(buffer, TIMEFMT_SIZE, "%ud", (unsigned)d);
        else if (d < 8 * 365 && d % 365)
                snprintf(buffer, TIMEFMT_SIZE, "%uy%ud", (unsigned)(d / 365), (unsigned)(d % 365));
        else
                snprintf(buffer, TIMEFMT_SIZE, "%uy", (unsigned)(d / 365));
        return buffer;
}
