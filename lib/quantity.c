/* Resource quantities in exact integer arithmetic: digits scaled by a power of ten or two. */
#include "lib/quantity.h"

#include <ctype.h>

/* A parsed quantity: mantissa * 10^exponent, times 2^shift for the binary suffixes. */
struct parsed {
        __int128 mantissa;
        int exponent; /* decimal, from the point and the suffix */
        int shift;    /* 10 per Ki step */
        enum quantity_family family;
};

static const struct suffix {
        const char *text;
        int exponent, shift;
} suffixes[] = {
                {"Ki", 0, 10},
                {"Mi", 0, 20},
                {"Gi", 0, 30},
                {"Ti", 0, 40},
                {"Pi", 0, 50},
                {"Ei", 0, 60},
                {"n", -9, 0},
                {"u", -6, 0},
                {"m", -3, 0},
                {"", 0, 0},
                {"k", 3, 0},
                {"M", 6, 0},
                {"G", 9, 0},
                {"T", 12, 0},
                {"P", 15, 0},
                {"E", 18, 0},
};

static int parse_suffix(const char *s, struct parsed *q) {
        int64_t exponent;

        if ((*s == 'e' || *s == 'E') && s[1] && !streq(s, "Ei")) {
                const char *digits = s + 1 + (s[1] == '+');

                if (parse_i64(digits, &exponent) < 0 || exponent < -30 || exponent > 30)
                        return -EINVAL;
                q->exponent += (int)exponent;
                q->family = QUANTITY_EXPONENT;
                return 0;
        }
        for (size_t i = 0; i < ELEMENTS(suffixes); i++)
                if (streq(s, suffixes[i].text)) {
                        q->exponent += suffixes[i].exponent;
                        q->shift = suffixes[i].shift;
                        q->family = q->shift ? QUANTITY_BINARY : QUANTITY_DECIMAL;
                        return 0;
                }
        return -EINVAL;
}

static int parse_quantity(const char *s, struct parsed *ret) {
        struct parsed q = {0};
        bool negative = *s == '-', point = false;
        unsigned digits = 0;

        if (*s == '-' || *s == '+')
                s++;
        for (; isdigit((unsigned char)*s) || (*s == '.' && !point); s++) {
                if (*s == '.') {
                        point = true;
                        continue;
                }
                digits++;
                if (q.mantissa > (__int128)1 << 100)
                        return -ERANGE;
                q.mantissa = q.mantissa * 10 + (*s - '0');
                q.exponent -= point;
        }
        if (digits == 0)
                return -EINVAL;
        int r = parse_suffix(s, &q);
        if (r < 0)
                return r;
        if (negative)
                q.mantissa = -q.mantissa;
        *ret = q;
        return 0;
}

/* Value times 10^more, rounded away from zero; at most max. */
static int scaled_wide(struct parsed q, int more, __int128 max, __int128 *ret) {
        __int128 v = q.mantissa;
        int exponent = q.exponent + more;
        bool inexact = false;

        /* Division last, so that 0.5Ki keeps its half; the bounds keep every product inside 128
         * bits. */
        if (v != 0 && q.shift > 0) {
                if (v > ((__int128)1 << 66) || v < -((__int128)1 << 66))
                        return -ERANGE;
                v *= (__int128)1 << q.shift; /* not <<: it may be negative */
        }
        for (; exponent > 0 && v != 0; exponent--) {
                if (v > max || v < -max)
                        return -ERANGE;
                v *= 10;
        }
        for (; exponent < 0 && v != 0; exponent++) {
                inexact |= v % 10 != 0;
                v /= 10;
        }
        if (inexact || (v == 0 && q.mantissa != 0))
                v += q.mantissa > 0 ? 1 : -1;
        if (v > max || v < -max)
                return -ERANGE;
        *ret = v;
        return 0;
}

static int scaled(struct parsed q, int more, int64_t *ret) {
        __int128 v;
        int r = scaled_wide(q, more, INT64_MAX, &v);

        if (r < 0)
                return r;
        *ret = (int64_t)v;
        return 0;
}

int quantity_parse_str_milli(const char *s, int64_t *ret) {
        struct parsed q;
        int r = parse_quantity(s, &q);

        return r < 0 ? r : scaled(q, 3, ret);
}

/* The number or string as text, in buffer where needed. */
static const char *quantity_text(const json_t *v, char *buffer, size_t n) {
        if (json_is_string(v))
                return json_string_value(v);
        if (json_is_integer(v))
                snprintf(buffer, n, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        else if (json_is_real(v))
                snprintf(buffer, n, "%.9f", json_real_value(v));
        else
                return NULL;
        return buffer;
}

static int quantity_parse(const json_t *v, int more, int64_t *ret) {
        char buffer[352]; /* the longest double in %.9f */
        const char *s = quantity_text(v, buffer, sizeof(buffer));
        struct parsed q;

        if (!s)
                return -EINVAL;
        int r = parse_quantity(s, &q);
        return r < 0 ? r : scaled(q, more, ret);
}

int quantity_parse_milli(const json_t *v, int64_t *ret) {
        return quantity_parse(v, 3, ret);
}

int quantity_parse_units(const json_t *v, int64_t *ret) {
        return quantity_parse(v, 0, ret);
}

/* Thousandths or units; what they do not hold is as large as can be. */
static int64_t amount_of(struct parsed q, bool units) {
        int64_t v;

        if (scaled(q, units ? 0 : 3, &v) >= 0)
                return v;
        return q.mantissa < 0 ? -INT64_MAX : INT64_MAX;
}

int quantity_compare(const json_t *a, const json_t *b, int *ret) {
        const json_t *given[] = {a, b};
        struct parsed q[ELEMENTS(given)] = {0};
        int64_t v[ELEMENTS(given)];
        bool units = false;

        for (size_t i = 0; i < ELEMENTS(given); i++) {
                char buffer[352];
                const char *s = given[i] ? quantity_text(given[i], buffer, sizeof(buffer)) : "0";
                int r = s ? parse_quantity(s, &q[i]) : -EINVAL;

                if (r < 0)
                        return r;
                units |= scaled(q[i], 3, &v[i]) < 0;
        }
        for (size_t i = 0; i < ELEMENTS(given); i++)
                v[i] = amount_of(q[i], units);
        *ret = v[0] < v[1] ? -1 : v[0] > v[1];
        return 0;
}

static char *number_text(__int128 v, const char *suffix) {
        return strformat("%lld%s", (long long)v, suffix);
}

static int canonical_binary(struct parsed q, char **ret) {
        int64_t units;
        int step = 0;

        int r = scaled(q, 0, &units);
        if (r < 0)
                return r;
        while (units != 0 && units % 1024 == 0 && step < 6) {
                units /= 1024;
                step++;
        }
        *ret = number_text(units, step == 0 ? "" : suffixes[step - 1].text);
        return *ret ? 0 : -ENOMEM;
}

static int canonical_decimal(struct parsed q, char **ret) {
        static const char *const names[] = {"n", "u", "m", "", "k", "M", "G", "T", "P", "E"};
        int64_t v;
        size_t step = 0;
        int r = scaled(q, 9, &v); /* in n; big values fall back to whole units below */

        if (r == -ERANGE) {
                step = 3;
                r = scaled(q, 0, &v);
        }
        if (r < 0)
                return r;
        if (v == 0)
                step = 3;
        while (v != 0 && v % 1000 == 0 && step + 1 < ELEMENTS(names)) {
                v /= 1000;
                step++;
        }
        if (q.family == QUANTITY_EXPONENT && step != 3) {
                *ret = strformat("%llde%i", (long long)v, ((int)step - 3) * 3);
                return *ret ? 0 : -ENOMEM;
        }
        *ret = number_text(v, names[step]);
        return *ret ? 0 : -ENOMEM;
}

int quantity_canonical(const char *s, char **ret) {
        struct parsed q;
        int64_t milli;
        int r = parse_quantity(s, &q);

        if (r < 0)
                return r;
        /* A binary quantity below 1024 or with a fraction is written in decimal form, as the API
         * does. */
        if (q.family == QUANTITY_BINARY && scaled(q, 3, &milli) == 0 && milli % 1000 == 0)
                return canonical_binary(q, ret);
        if (q.family == QUANTITY_BINARY && scaled(q, 3, &milli) < 0)
                return canonical_binary(q, ret);
        return canonical_decimal(q, ret);
}

int quantity_read(const json_t *v, struct quantity *ret) {
        char buffer[352];
        const char *s = quantity_text(v, buffer, sizeof(buffer));
        struct parsed q;
        __int128 milli;
        int r;

        if (!s)
                return -EINVAL;
        r = parse_quantity(s, &q);
        if (r < 0)
                return r;
        r = scaled_wide(q, 3, (__int128)1 << 100, &milli);
        if (r < 0)
                return r;
        *ret = (struct quantity){.milli = milli, .family = q.family};
        return 0;
}

void quantity_add(struct quantity *sum, struct quantity q, int times) {
        if (sum->milli == 0)
                sum->family = q.family;
        sum->milli += q.milli * times;
}

/* The largest suffix that needs no fraction; steps of 1000 or 1024 from `first` on. */
static char *wide_text(__int128 v, unsigned base, const char *const *names, size_t count) {
        char digits[48], *at = digits + sizeof(digits);
        bool negative = v < 0;
        size_t step = 0;

        while (v != 0 && v % base == 0 && step + 1 < count) {
                v /= base;
                step++;
        }
        *--at = 0;
        if (negative)
                v = -v;
        do {
                *--at = (char)('0' + (int)(v % 10));
                v /= 10;
        } while (v != 0);
        return strformat("%s%s%s", negative ? "-" : "", at, names[step]);
}

char *quantity_write(struct quantity q) {
        static const char *const decimal[] = {"m", "", "k", "M", "G", "T", "P", "E"},
                                 *const exponent[] = {"e-3", "", "e3", "e6", "e9", "e12", "e15",
                                                 "e18"},
                                 *const binary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};

        if (q.milli == 0)
                return strdup("0");
        if (q.family == QUANTITY_BINARY && q.milli % 1000 == 0)
                return wide_text(q.milli / 1000, 1024, binary, ELEMENTS(binary));
        return wide_text(q.milli, 1000, q.family == QUANTITY_EXPONENT ? exponent : decimal,
                        ELEMENTS(decimal));
}
