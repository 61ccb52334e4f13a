/* Reading schedules, and the search for the next instant of one. */
#include "lib/cron.h"

#include <time.h>

enum { FIELDS = 5, TEXT_SIZE_MAX = 1024 };

struct field {
        const char *name;
        unsigned low, high;
        const char *names; /* of low, low + 1...; three letters each; NULL: none */
};

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY };

static const struct field fields[FIELDS] = {
                [MINUTE] = {"minute", 0, 59, NULL},
                [HOUR] = {"hour", 0, 23, NULL},
                [DAY] = {"day of the month", 1, 31, NULL},
                [MONTH] = {"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
                [WEEKDAY] = {"day of the week", 0, 6, "sunmontuewedthufrisat"},
};

static const struct {
        const char *name, *text;
} shorthands[] = {
                {"@yearly", "0 0 1 1 *"},
                {"@annually", "0 0 1 1 *"},
                {"@monthly", "0 0 1 * *"},
                {"@weekly", "0 0 * * 0"},
                {"@daily", "0 0 * * *"},
                {"@midnight", "0 0 * * *"},
                {"@hourly", "0 * * * *"},
};

static int refuse(struct problem *p, const struct field *f, const char *item, const char *why) {
        return problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\": %s", f->name, item, why);
}

static int out_of_bounds(struct problem *p, const struct field *f, const char *item) {
        return problem_set(p, EINVAL, 422, "Invalid", "%s \"%s\": must be between %u and %u%s",
                        f->name, item, f->low, f->high,
                        f->low == 0 && f->high == 6 ? " (Sunday is 0)" : "");
}

static bool read_number(const char *s, uint32_t *ret) {
        return parse_u32(s, ret) >= 0;
}

static int read_value(const struct field *f, const char *item, const char *s, uint32_t *ret,
                struct problem *p) {
        char word[4] = "";

        for (size_t i = 0; f->names && strlen(s) == 3 && i < 3; i++)
                word[i] = (char)(s[i] >= 'A' && s[i] <= 'Z' ? s[i] - 'A' + 'a' : s[i]);
        for (size_t i = 0; *word && f->names[3 * i]; i++)
                if (strncmp(f->names + 3 * i, word, 3) == 0) {
                        *ret = f->low + (uint32_t)i;
                        return 0;
                }
        if (!read_number(s, ret))
                return refuse(p, f, item,
                                f->names ? "must be numbers or names of three letters"
                                         : "must be numbers");
        return *ret < f->low || *ret > f->high ? out_of_bounds(p, f, item) : 0;
}

/* What an item says: from `low` to `high` in steps. */
struct span {
        uint32_t low, high, step;
        bool all;
};

/* The part before the step, which is cut at its hyphen. */
static int read_span(const struct field *f, const char *item, char *s, bool stepped,
                struct span *ret, struct problem *p) {
        char *hyphen = strchr(s, '-');
        int r;

        if (streq(s, "*") || streq(s, "?")) {
                *ret = (struct span){f->low, f->high, 1, true};
                return 0;
        }
        if (hyphen)
                *hyphen = 0;
        r = read_value(f, item, s, &ret->low, p);
        if (r < 0)
                return r;
        /* "5/15" means "from 5 on". */
        ret->high = stepped ? f->high : ret->low;
        if (!hyphen)
                return 0;
        r = read_value(f, item, hyphen + 1, &ret->high, p);
        if (r < 0)
                return r;
        return ret->low > ret->high ? refuse(p, f, item, "the range ends before it begins") : 0;
}

static int read_item(const struct field *f, const char *item, uint64_t *bits, bool *all,
                struct problem *p) {
        _cleanup_free_ char *copy = strdup(item);
        char *slash = copy ? strchr(copy, '/') : NULL;
        struct span x = {.step = 1};
        int r;

        if (!copy)
                return -ENOMEM;
        if (slash)
                *slash = 0;
        r = read_span(f, item, copy, slash != NULL, &x, p);
        if (r < 0)
                return r;
        if (slash && (!read_number(slash + 1, &x.step) || x.step == 0))
                return refuse(p, f, item, "the step must be a number above 0");
        *all |= x.all && x.step == 1;
        for (uint64_t i = x.low; i <= x.high; i += x.step)
                *bits |= UINT64_C(1) << i;
        return 0;
}

static int read_field(const struct field *f, const char *text, uint64_t *ret_bits, bool *ret_all,
                struct problem *p) {
        _cleanup_strv_free_ char **items = NULL;
        int r = strv_split(text, ",", &items);

        if (r < 0)
                return r;
        if (strv_length(items) == 0)
                return refuse(p, f, text, "must not be empty");
        for (size_t i = 0; items[i]; i++) {
                r = read_item(f, items[i], ret_bits, ret_all, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

static int read_fields(const char *text, struct cron *ret, struct problem *p) {
        _cleanup_strv_free_ char **words = NULL;
        uint64_t bits[FIELDS] = {0};
        bool all[FIELDS] = {false};
        int r = strv_split(text, " \t\n\v\f\r", &words);

        if (r < 0)
                return r;
        if (strv_length(words) != FIELDS)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "must have 5 fields (minute, hour, day of the month, month, day of "
                                "the week), not %zu",
                                strv_length(words));
        for (size_t i = 0; i < FIELDS; i++) {
                r = read_field(&fields[i], words[i], &bits[i], &all[i], p);
                if (r < 0)
                        return r;
        }
        *ret = (struct cron){.minutes = bits[MINUTE],
                        .hours = (uint32_t)bits[HOUR],
                        .days = (uint32_t)bits[DAY],
                        .months = (uint32_t)bits[MONTH],
                        .weekdays = (uint32_t)bits[WEEKDAY],
                        .all_days = all[DAY],
                        .all_weekdays = all[WEEKDAY]};
        return 0;
}

static int read_every(const char *text, struct cron *ret, struct problem *p) {
        uint64_t us;
        size_t n = strlen(text);

        if (n == 0 || (text[n - 1] >= '0' && text[n - 1] <= '9') ||
                        parse_duration_us(text, &us) < 0 || us > INT64_MAX / 2)
                return problem_set(p, EINVAL, 422, "Invalid",
                                "@every needs a duration, like 1h30m, not \"%s\"", text);
        *ret = (struct cron){.every_s = MAX((int64_t)(us / 1000000), INT64_C(1))};
        return 0;
}

int cron_parse(const char *text, struct cron *ret, struct problem *p) {
        const char *every = startswith(text, "@every ");

        if (strlen(text) > TEXT_SIZE_MAX)
                return problem_set(p, EINVAL, 422, "Invalid", "must have at most %i characters",
                                TEXT_SIZE_MAX);
        if (every)
                return read_every(every, ret, p);
        for (size_t i = 0; i < ELEMENTS(shorthands); i++)
                if (streq(text, shorthands[i].name))
                        return read_fields(shorthands[i].text, ret, p);
        if (*text == '@')
                return problem_set(p, EINVAL, 422, "Invalid",
                                "\"%s\" is not a schedule; there are @yearly, @annually, @monthly, "
                                "@weekly, @daily, @midnight, @hourly and @every DURATION",
                                text);
        return read_fields(text, ret, p);
}

static bool has(uint64_t bits, int n) {
        return bits >> n & 1;
}

static bool day_fits(const struct cron *c, const struct tm *tm) {
        bool day = has(c->days, tm->tm_mday), weekday = has(c->weekdays, tm->tm_wday);

        return c->all_days || c->all_weekdays ? day && weekday : day || weekday;
}

/* The local time, as timegm() counts, before which nothing can fit when local time `tm` does not;
 * `local` itself when it fits. */
static int64_t skip(const struct cron *c, const struct tm *tm, int64_t local) {
        struct tm next = {.tm_year = tm->tm_year, .tm_mon = tm->tm_mon, .tm_mday = tm->tm_mday};

        if (!has(c->months, tm->tm_mon + 1)) {
                next.tm_mon++;
                next.tm_mday = 1;
        } else if (!day_fits(c, tm))
                next.tm_mday++;
        else if (!has(c->hours, tm->tm_hour))
                next.tm_hour = tm->tm_hour + 1;
        else if (!has(c->minutes, tm->tm_min)) {
                next.tm_hour = tm->tm_hour;
                next.tm_min = tm->tm_min + 1;
        } else
                return local;
        return timegm(&next);
}

int cron_next(const struct cron *c, const struct time_zone *zone, int64_t after, int64_t *ret) {
        int64_t at = after - (after % 60 + 60) % 60 + 60;
        int64_t end = after + CRON_YEARS * INT64_C(366) * 86400;

        if (c->every_s > 0) {
                *ret = after + c->every_s;
                return 0;
        }
        while (at <= end) {
                int64_t until, wanted, local;
                struct tm tm;
                time_t t;

                t = local = at + time_zone_offset(zone, at, &until);
                if (!gmtime_r(&t, &tm))
                        return -ENOENT;
                wanted = skip(c, &tm, local);
                if (tm.tm_sec == 0 && wanted == local) {
                        *ret = at;
                        return 0;
                }
                /* An offset with seconds (before 1972): the whole minutes are others. */
                if (wanted == local)
                        wanted += 60 - tm.tm_sec;
                /* No step goes over a change of the offset: local time may begin there again at
                 * something that fits. */
                at = MIN(at + (wanted - local), until);
        }
        return -ENOENT;
}
