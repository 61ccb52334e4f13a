/* Conversions between kinds of values. */
#include <math.h>

#include "kapid/cel/internal.h"

enum { SHORT_TEXT_MAX = 32 };

static struct cel_value refused(struct cel_run *run, const char *from, const char *to) {
        return cel_error(run, "type conversion error from '%s' to '%s'", from, to);
}

static struct cel_value itself(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return a[0];
}

static struct cel_value int_of_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].natural > INT64_MAX ? cel_error(run, "integer overflow")
                                        : cel_int((int64_t)a[0].natural);
}

static struct cel_value int_of_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        double d = a[0].real;

        (void)n;
        if (!(d > -9223372036854775808.0 && d < 9223372036854775808.0))
                return cel_error(run, "integer overflow");
        return cel_int((int64_t)d);
}

static struct cel_value int_of_timestamp(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_int(a[0].integer);
}

/* Digits only, after one sign when it may have one. */
static bool digits(struct cel_value text, bool sign, bool *ret_negative, uint64_t *ret) {
        const char *s = text.text.data, *end = s + text.text.size;
        uint64_t value = 0;

        *ret_negative = false;
        if (sign && s < end && (*s == '-' || *s == '+'))
                *ret_negative = *s++ == '-';
        if (s == end)
                return false;
        for (; s < end; s++) {
                unsigned d = (unsigned)(*s - '0');

                if (*s < '0' || *s > '9' || value > (UINT64_MAX - d) / 10)
                        return false;
                value = value * 10 + d;
        }
        *ret = value;
        return true;
}

static struct cel_value int_of_string(struct cel_run *run, const struct cel_value *a, size_t n) {
        uint64_t value;
        bool negative;

        (void)n;
        if (!digits(a[0], true, &negative, &value) ||
                        value > (uint64_t)INT64_MAX + (negative ? 1 : 0))
                return refused(run, "string", "int");
        return cel_int(negative ? (int64_t)(0 - value) : (int64_t)value);
}

static struct cel_value uint_of_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].integer < 0 ? cel_error(run, "unsigned integer overflow")
                                : cel_uint((uint64_t)a[0].integer);
}

static struct cel_value uint_of_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        double d = a[0].real;

        (void)n;
        if (!(d >= 0 && d < 18446744073709551616.0))
                return cel_error(run, "unsigned integer overflow");
        return cel_uint((uint64_t)d);
}

static struct cel_value uint_of_string(struct cel_run *run, const struct cel_value *a, size_t n) {
        uint64_t value;
        bool negative;

        (void)n;
        if (!digits(a[0], false, &negative, &value))
                return refused(run, "string", "uint");
        return cel_uint(value);
}

static struct cel_value double_of_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double((double)a[0].integer);
}

static struct cel_value double_of_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double((double)a[0].natural);
}

static struct cel_value double_of_string(struct cel_run *run, const struct cel_value *a, size_t n) {
        char *text = cel_c_text(run, a[0]), *end;
        double d;

        (void)n;
        /* strtod() would take blanks before it. */
        if (!text || !*text || strchr(" \t\n\v\f\r", *text))
                return refused(run, "string", "double");
        d = strtod(text, &end);
        return *end ? refused(run, "string", "double") : cel_double(d);
}

static struct cel_value bool_of_string(struct cel_run *run, const struct cel_value *a, size_t n) {
        static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
        static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};

        (void)n;
        for (size_t i = 0; i < ELEMENTS(yes); i++) {
                if (cel_is_text(a[0], yes[i]))
                        return cel_bool(true);
                if (cel_is_text(a[0], no[i]))
                        return cel_bool(false);
        }
        return refused(run, "string", "bool");
}

static struct cel_value string_of_bool(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return a[0].boolean ? cel_string_at("true", 4) : cel_string_at("false", 5);
}

static struct cel_value string_of_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        char text[32];
        int length = snprintf(text, sizeof(text), "%lld", (long long)a[0].integer);

        (void)n;
        return cel_string(run, text, (size_t)length);
}

static struct cel_value string_of_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        char text[32];
        int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)a[0].natural);

        (void)n;
        return cel_string(run, text, (size_t)length);
}

/* The fewest digits that read back as the same number. */
static int shortest(double d, char *text, size_t size) {
        for (int precision = 0; precision < 17; precision++) {
                (void)snprintf(text, size, "%.*e", precision, d);
                if (strtod(text, NULL) == d)
                        return precision;
        }
        return 16;
}

const char *cel_double_text(double d, char buffer[static JSON_REAL_SIZE]) {
        char text[JSON_REAL_SIZE];
        int precision, exponent;

        if (isnan(d))
                return "NaN";
        if (isinf(d))
                return d > 0 ? "+Inf" : "-Inf";
        precision = shortest(d, text, sizeof(text));
        exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
        if (exponent < -4 || exponent >= 6) {
                (void)snprintf(buffer, JSON_REAL_SIZE, "%s", text);
                return buffer;
        }
        (void)snprintf(buffer, JSON_REAL_SIZE, "%.*f", MAX(precision - exponent, 0), d);
        return buffer;
}

static struct cel_value string_of_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        char buffer[JSON_REAL_SIZE];
        const char *text = cel_double_text(a[0].real, buffer);

        (void)n;
        return cel_string(run, text, strlen(text));
}

static struct cel_value string_of_bytes(struct cel_run *run, const struct cel_value *a, size_t n) {
        size_t from = 0;

        (void)n;
        /* A NUL is a character like others here. */
        for (size_t i = 0; i <= a[0].text.size; i++)
                if (i == a[0].text.size || a[0].text.data[i] == '\0') {
                        if (!utf8_is_valid(a[0].text.data + from, i - from))
                                return cel_error(run, "invalid UTF-8 in bytes, cannot convert to "
                                                      "string");
                        from = i + 1;
                }
        return cel_string_at(a[0].text.data, a[0].text.size);
}

static struct cel_value bytes_of_string(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bytes_at(a[0].text.data, a[0].text.size);
}

static uint64_t cost_text(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_text(cel_size_for_cost(a[0]));
}

static void estimate_to_bytes(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        *ret_cost = cel_range_text(a[0]);
        *ret_size = (struct cel_range){a[0].min, cel_cost_multiply(a[0].max, 4)};
}

static void estimate_to_string(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        *ret_cost = cel_range_text(a[0]);
        *ret_size = (struct cel_range){a[0].min / 4, a[0].max};
}

/* Texts of numbers and truth values are short, which Kubernetes' estimate does not know: messages
 * such as its documentation's "limit of " + string(self.limit) would cost too much. */
static void estimate_short_text(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)a;
        (void)n;
        *ret_cost = (struct cel_range){1, 1};
        *ret_size = (struct cel_range){1, SHORT_TEXT_MAX};
}

static const struct cel_row rows[] = {
                {"int", 0, "(int) -> int", itself, NULL, NULL, NULL},
                {"int", 0, "(uint) -> int", int_of_uint, NULL, NULL, NULL},
                {"int", 0, "(double) -> int", int_of_double, NULL, NULL, NULL},
                {"int", 0, "(string) -> int", int_of_string, NULL, NULL, NULL},
                {"int", 0, "(timestamp) -> int", int_of_timestamp, NULL, NULL, NULL},
                {"uint", 0, "(uint) -> uint", itself, NULL, NULL, NULL},
                {"uint", 0, "(int) -> uint", uint_of_int, NULL, NULL, NULL},
                {"uint", 0, "(double) -> uint", uint_of_double, NULL, NULL, NULL},
                {"uint", 0, "(string) -> uint", uint_of_string, NULL, NULL, NULL},
                {"double", 0, "(double) -> double", itself, NULL, NULL, NULL},
                {"double", 0, "(int) -> double", double_of_int, NULL, NULL, NULL},
                {"double", 0, "(uint) -> double", double_of_uint, NULL, NULL, NULL},
                {"double", 0, "(string) -> double", double_of_string, NULL, NULL, NULL},
                {"bool", 0, "(bool) -> bool", itself, NULL, NULL, NULL},
                {"bool", 0, "(string) -> bool", bool_of_string, NULL, NULL, NULL},
                {"string", 0, "(string) -> string", itself, NULL, NULL, NULL},
                {"string", 0, "(bool) -> string", string_of_bool, NULL, estimate_short_text, NULL},
                {"string", 0, "(int) -> string", string_of_int, NULL, estimate_short_text, NULL},
                {"string", 0, "(uint) -> string", string_of_uint, NULL, estimate_short_text, NULL},
                {"string", 0, "(double) -> string", string_of_double, NULL, estimate_short_text,
                                NULL},
                {"string", 0, "(bytes) -> string", string_of_bytes, cost_text, estimate_to_string,
                                NULL},
                {"bytes", 0, "(bytes) -> bytes", itself, NULL, NULL, NULL},
                {"bytes", 0, "(string) -> bytes", bytes_of_string, cost_text, estimate_to_bytes,
                                NULL},
};

const struct cel_library cel_library_convert = {
                .name = "convert", .rows = rows, .row_count = ELEMENTS(rows)};
