/* Texts of times: RFC 3339 with nanoseconds, and durations as Go writes them ("1h30m", "1.5s"). */
#include "kapid/cel/time.h"

#include "kapid/cel/internal.h"

int64_t cel_days_of_date(int64_t year, unsigned month, unsigned day) {
        /* Days of the proleptic Gregorian calendar; the year begins in March. */
        int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
        unsigned of_era = (unsigned)(y - era * 400);
        unsigned of_year = (153 * (month + (month > 2 ? -3U : 9U)) + 2) / 5 + day - 1;

        return era * 146097 + (int64_t)(of_era * 365 + of_era / 4 - of_era / 100 + of_year) -
               719468;
}

void cel_date_of_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day) {
        int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
        unsigned of_era = (unsigned)(z - era * 146097);
        unsigned years = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        unsigned of_year = of_era - (365 * years + years / 4 - years / 100);
        unsigned month = (5 * of_year + 2) / 153;

        *ret_day = of_year - (153 * month + 2) / 5 + 1;
        *ret_month = month < 10 ? month + 3 : month - 9;
        *ret_year = (int64_t)years + era * 400 + (*ret_month <= 2);
}

static unsigned days_in_month(int64_t year, unsigned month) {
        static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

        return month == 2 && leap ? 29 : days[month - 1];
}

struct reader {
        const char *at, *end;
};

static bool number(struct reader *r, unsigned digits, unsigned *ret) {
        unsigned n = 0;

        for (unsigned i = 0; i < digits; i++, r->at++) {
                if (r->at == r->end || *r->at < '0' || *r->at > '9')
                        return false;
                n = n * 10 + (unsigned)(*r->at - '0');
        }
        *ret = n;
        return true;
}

static bool mark(struct reader *r, const char *any) {
        if (r->at == r->end || !*r->at || !strchr(any, *r->at))
                return false;
        r->at++;
        return true;
}

static bool read_date(struct reader *r, int64_t *ret_days) {
        unsigned year, month, day;

        if (!number(r, 4, &year) || !mark(r, "-") || !number(r, 2, &month) || !mark(r, "-") ||
                        !number(r, 2, &day))
                return false;
        if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month))
                return false;
        *ret_days = cel_days_of_date(year, month, day);
        return true;
}

/* ".123": to nanoseconds; further digits are dropped. */
static bool read_fraction(struct reader *r, uint32_t *ret) {
        uint32_t nanos = 0, unit = CEL_TIMESTAMP_NANOS / 10;
        const char *start;

        *ret = 0;
        if (!mark(r, "."))
                return true;
        start = r->at;
        for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, unit /= 10)
                nanos += unit * (uint32_t)(*r->at - '0');
        *ret = nanos;
        return r->at > start;
}

static bool read_offset(struct reader *r, int64_t *ret) {
        unsigned hours, minutes;
        bool west;

        *ret = 0;
        if (mark(r, "Zz"))
                return true;
        west = r->at < r->end && *r->at == '-';
        if (!mark(r, "+-") || !number(r, 2, &hours) || !mark(r, ":") || !number(r, 2, &minutes) ||
                        hours > 24 || minutes > 59)
                return false;
        *ret = ((int64_t)hours * 60 + minutes) * (west ? -60 : 60);
        return true;
}

bool cel_parse_timestamp(const char *text, size_t n, struct cel_value *ret) {
        struct reader r = {text, text + n};
        unsigned hours, minutes, seconds;
        int64_t days, offset, at;
        uint32_t nanos;

        if (!read_date(&r, &days) || !mark(&r, "Tt") || !number(&r, 2, &hours) || !mark(&r, ":") ||
                        !number(&r, 2, &minutes) || !mark(&r, ":") || !number(&r, 2, &seconds) ||
                        !read_fraction(&r, &nanos) || !read_offset(&r, &offset) || r.at != r.end)
                return false;
        if (hours > 23 || minutes > 59 || seconds > 59)
                return false;
        at = days * 86400 + hours * 3600 + minutes * 60 + seconds - offset;
        if (at < CEL_TIMESTAMP_MIN || at > CEL_TIMESTAMP_MAX)
                return false;
        *ret = cel_timestamp(at, nanos);
        return true;
}

bool cel_parse_date(const char *text, size_t n, struct cel_value *ret) {
        struct reader r = {text, text + n};
        int64_t days;

        if (!read_date(&r, &days) || r.at != r.end || days * 86400 < CEL_TIMESTAMP_MIN)
                return false;
        *ret = cel_timestamp(days * 86400, 0);
        return true;
}

static bool unit_of(struct reader *r, int64_t *ret) {
        static const struct {
                const char *name;
                int64_t nanos;
        } units[] = {{"ns", 1}, {"us", 1000}, {"\xc2\xb5s", 1000}, {"\xce\xbcs", 1000},
                        {"ms", 1000000}, {"s", 1000000000}, {"m", INT64_C(60000000000)},
                        {"h", INT64_C(3600000000000)}};

        for (size_t i = 0; i < ELEMENTS(units); i++) {
                size_t n = strlen(units[i].name);

                if ((size_t)(r->end - r->at) >= n && memcmp(r->at, units[i].name, n) == 0) {
                        r->at += n;
                        *ret = units[i].nanos;
                        return true;
                }
        }
        return false;
}

/* "1.5h": added to *sum. */
static bool read_part(struct reader *r, __int128 *sum) {
        const char *start = r->at;
        __int128 whole = 0, fraction = 0, scale = 1;
        int64_t unit;

        for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
                whole = whole * 10 + (*r->at - '0');
                if (whole > INT64_MAX)
                        return false;
        }
        if (r->at < r->end && *r->at == '.') {
                const char *digits = ++r->at;

                for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
                        if (scale < (__int128)1000000000 * 1000000000) {
                                fraction = fraction * 10 + (*r->at - '0');
                                scale *= 10;
                        }
                if (r->at == digits && digits - 1 == start)
                        return false;
        } else if (r->at == start)
                return false;
        if (!unit_of(r, &unit))
                return false;
        *sum += whole * unit + fraction * unit / scale;
        return *sum <= (__int128)INT64_MAX + 1;
}

bool cel_parse_duration(const char *text, size_t n, struct cel_value *ret) {
        struct reader r = {text, text + n};
        bool negative = n > 0 && *text == '-';
        __int128 sum = 0;

        (void)mark(&r, "+-");
        if (r.end - r.at == 1 && *r.at == '0') {
                *ret = cel_duration(0);
                return true;
        }
        if (r.at == r.end)
                return false;
        while (r.at < r.end)
                if (!read_part(&r, &sum))
                        return false;
        if (sum > (__int128)INT64_MAX + (negative ? 1 : 0))
                return false;
        *ret = cel_duration((int64_t)(negative ? -sum : sum));
        return true;
}

/* Digits behind the point without zeros at the end. */
static void add_fraction(char *text, size_t size, uint32_t nanos) {
        size_t n = strlen(text);

        if (nanos == 0)
                return;
        (void)snprintf(text + n, size - n, ".%09u", nanos);
        n = strlen(text);
        while (text[n - 1] == '0')
                text[--n] = '\0';
}

static void add_letter(char buffer[static CEL_TIME_SIZE], char c) {
        size_t n = strlen(buffer);

        assert(n + 1 < CEL_TIME_SIZE);
        buffer[n] = c;
        buffer[n + 1] = '\0';
}

const char *cel_timestamp_text(struct cel_value v, char buffer[static CEL_TIME_SIZE]) {
        int64_t days = v.integer / 86400, left = v.integer % 86400, year;
        unsigned month, day;

        if (left < 0) {
                left += 86400;
                days--;
        }
        cel_date_of_days(days, &year, &month, &day);
        (void)snprintf(buffer, CEL_TIME_SIZE, "%04d-%02u-%02uT%02d:%02d:%02d", (int)year, month,
                        day, (int)(left / 3600), (int)(left / 60 % 60), (int)(left % 60));
        add_fraction(buffer, CEL_TIME_SIZE - 1, v.nanos);
        add_letter(buffer, 'Z');
        return buffer;
}

const char *cel_duration_text(struct cel_value v, char buffer[static CEL_TIME_SIZE]) {
        uint64_t nanos = v.integer < 0 ? 0 - (uint64_t)v.integer : (uint64_t)v.integer;

        (void)snprintf(buffer, CEL_TIME_SIZE, "%s%llu", v.integer < 0 ? "-" : "",
                        (unsigned long long)(nanos / CEL_TIMESTAMP_NANOS));
        add_fraction(buffer, CEL_TIME_SIZE - 1, (uint32_t)(nanos % CEL_TIMESTAMP_NANOS));
        add_letter(buffer, 's');
        return buffer;
}
