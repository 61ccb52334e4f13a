/* Kubernetes' resource quantities in expressions: exact in billionths (nano), as
 * k8s.io/apimachinery's resource.Quantity. That type has two forms: a 64-bit number with a power of
 * ten, and an arbitrary decimal where this does not do; isInteger() and asInteger() tell them
 * apart, so both are here. Amounts that billionths of 128 bits do not hold end at their bound. */
#include <math.h>

#include "kapid/cel/lib.h"

enum {
        NANO_DIGITS = 9,
        DIGITS_MAX = 18, /* that 64 bits hold in any case */
        BINARY_DIGITS_MAX = 14,
        EXPONENT_MAX = 100000, /* beyond it nothing changes */
};

#define WIDE_MAX ((__int128)1 << 126)
#define UNITS_MAX ((__int128)INT64_MAX * 1000 * 1000 * 1000)

struct amount {
        bool decimal;  /* the arbitrary form: nano counts alone */
        int64_t value; /* else value * 10^scale */
        int scale;
        __int128 nano;
};

static struct amount with_nano(struct amount a) {
        int shift = a.scale + NANO_DIGITS;

        a.nano = a.value;
        for (; shift > 0 && a.nano != 0; shift--) {
                if (a.nano > WIDE_MAX / 10 || a.nano < -(WIDE_MAX / 10)) {
                        a.nano = a.value < 0 ? -WIDE_MAX : WIDE_MAX;
                        break;
                }
                a.nano *= 10;
        }
        return a;
}

static bool equal(const void *a, const void *b) {
        const struct amount *x = a, *y = b;

        return x->nano == y->nano;
}

static const struct cel_opaque_class quantity_class = {
                .type = {.kind = CEL_TYPE_OPAQUE,
                                .name = "kubernetes.Quantity",
                                .size_max = UINT64_MAX},
                .equal = equal};

static const struct amount *amount_of(struct cel_value v) {
        return v.opaque.data;
}

/* --- reading --- */

struct parts {
        bool negative;
        const char *whole, *fraction; /* digits; no zeros before those of the whole */
        size_t whole_size, fraction_size;
        int exponent; /* of ten, from the suffix */
        int shift;    /* of two */
};

static const char wrong_form[] = "quantities must match the regular expression "
                                 "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
                  wrong_suffix[] = "unable to parse quantity's suffix";

static size_t digits_at(const char *s, const char *end) {
        size_t n = 0;

        while (s + n < end && s[n] >= '0' && s[n] <= '9')
                n++;
        return n;
}

/* e3, E-3: bounded. */
static bool parse_exponent(const char *s, const char *end, int *ret) {
        bool negative = s < end && *s == '-';
        int value = 0;

        if (s < end && (*s == '-' || *s == '+'))
                s++;
        if (s == end || digits_at(s, end) != (size_t)(end - s))
                return false;
        for (; s < end; s++)
                value = MIN(value * 10 + (*s - '0'), EXPONENT_MAX);
        *ret = negative ? -value : value;
        return true;
}

static bool parse_suffix(const char *s, const char *end, struct parts *p) {
        static const char decimal[] = "num kMGTPE", binary[] = "KMGTPE";
        const char *at;

        if (s == end)
                return true;
        if (end - s == 1 && *s != ' ' && (at = strchr(decimal, *s))) {
                p->exponent = (int)(at - decimal) * 3 - NANO_DIGITS;
                return true;
        }
        if (end - s == 2 && s[1] == 'i' && (at = strchr(binary, *s))) {
                p->shift = (int)(at - binary + 1) * 10;
                return true;
        }
        return (*s == 'e' || *s == 'E') && parse_exponent(s + 1, end, &p->exponent);
}

/* NULL, or what is wrong. */
static const char *parse_parts(const char *s, size_t n, struct parts *p) {
        const char *end = s + n, *suffix;
        bool some;

        if (s < end && (*s == '-' || *s == '+'))
                p->negative = *s++ == '-';
        p->whole = s;
        p->whole_size = digits_at(s, end);
        s += p->whole_size;
        some = p->whole_size > 0;
        for (; p->whole_size > 0 && *p->whole == '0'; p->whole++)
                p->whole_size--;
        if (s < end && *s == '.') {
                p->fraction = ++s;
                p->fraction_size = digits_at(s, end);
                s += p->fraction_size;
                some |= p->fraction_size > 0;
        }
        if (!some)
                return wrong_form;
        suffix = s;
        while (s < end && *s && strchr("eEinumkKMGTP", *s))
                s++;
        if (s < end && (*s == '-' || *s == '+'))
                s++;
        if (s + digits_at(s, end) != end)
                return wrong_form;
        return parse_suffix(suffix, end, p) ? NULL : wrong_suffix;
}

/* The form with 64 bits; false: the number needs the other one. */
static bool read_fast(const struct parts *p, struct amount *ret) {
        size_t digits = MAX(p->whole_size, (size_t)1) + p->fraction_size;
        int64_t value = 0;

        if (p->shift > 0) {
                if (p->fraction_size > 0 ||
                                digits + (size_t)(p->shift * 3 / 10) > BINARY_DIGITS_MAX)
                        return false;
        } else if (digits > DIGITS_MAX || p->exponent - (int)p->fraction_size < -NANO_DIGITS)
                return false;
        for (size_t i = 0; i < p->whole_size; i++)
                value = value * 10 + (p->whole[i] - '0');
        for (size_t i = 0; i < p->fraction_size; i++)
                value = value * 10 + (p->fraction[i] - '0');
        value *= INT64_C(1) << p->shift;
        *ret = with_nano((struct amount){.value = p->negative ? -value : value,
                        .scale = p->exponent - (int)p->fraction_size});
        return true;
}

/* Digits from the first on, those worth less than a billionth rounded up. */
static __int128 nano_of_digits(const struct parts *p) {
        __int128 nano = 0;
        bool more = false;
        int weight = (int)MIN(p->whole_size, (size_t)EXPONENT_MAX) + p->exponent + NANO_DIGITS;

        for (size_t i = 0; i < p->whole_size + p->fraction_size; i++, weight--) {
                int digit = (i < p->whole_size ? p->whole[i] : p->fraction[i - p->whole_size]) -
                            '0';

                if (weight <= 0)
                        more |= digit != 0;
                else if (nano <= UNITS_MAX)
                        nano = nano * 10 + digit;
        }
        for (; weight > 0 && nano > 0 && nano <= UNITS_MAX; weight--)
                nano *= 10;
        return MIN(nano + more, UNITS_MAX);
}

static __int128 nano_of_binary(const struct parts *p) {
        const __int128 one = (__int128)1 << p->shift, billion = 1000 * 1000 * 1000;
        __int128 whole = 0, fraction = 0;
        bool more = false;

        for (size_t i = 0; i < p->whole_size && whole <= INT64_MAX; i++)
                whole = whole * 10 + (p->whole[i] - '0');
        for (size_t i = 0; i < MAX(p->fraction_size, (size_t)DIGITS_MAX); i++) {
                int digit = i < p->fraction_size ? p->fraction[i] - '0' : 0;

                if (i < DIGITS_MAX)
                        fraction = fraction * 10 + digit;
                else
                        more |= digit != 0;
        }
        if (whole > INT64_MAX / one)
                return UNITS_MAX;
        fraction *= one;
        more |= fraction % billion != 0;
        return MIN(whole * one * billion + fraction / billion + more, UNITS_MAX);
}

static const char *parse(struct cel_value text, struct amount *ret) {
        struct parts p = {};
        const char *why = parse_parts(text.text.data, text.text.size, &p);

        if (why || read_fast(&p, ret))
                return why;
        *ret = (struct amount){.decimal = true,
                        .nano = p.shift > 0 ? nano_of_binary(&p) : nano_of_digits(&p)};
        if (p.negative)
                ret->nano = -ret->nano;
        return NULL;
}

static struct cel_value quantity(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct amount a;
        const char *why = parse(args[0], &a);

        return why ? cel_error(run, "%s", why)
                   : cel_opaque_copy(run, &quantity_class, &a, sizeof(a));
}

static struct cel_value is_quantity(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct amount a;

        return cel_bool(!parse(args[0], &a));
}

/* --- numbers --- */

static bool as_int64(const struct amount *a, int64_t *ret) {
        int64_t value = a->value;

        if (a->decimal || a->scale < 0)
                return false;
        for (int i = 0; i < a->scale && value != 0; i++)
                if (__builtin_mul_overflow(value, 10, &value))
                        return false;
        *ret = value;
        return true;
}

static struct cel_value is_integer(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t unused;

        return cel_bool(as_int64(amount_of(args[0]), &unused));
}

static struct cel_value as_integer(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t value;

        if (!as_int64(amount_of(args[0]), &value))
                return cel_error(run, "cannot convert value to integer");
        return cel_int(value);
}

static struct cel_value as_float(struct cel_run *run, const struct cel_value *args, size_t n) {
        const struct amount *a = amount_of(args[0]);

        if (a->decimal)
                return cel_double((double)a->nano / 1e9);
        return cel_double(a->scale == 0 ? (double)a->value : (double)a->value * pow(10, a->scale));
}

static struct cel_value sign(struct cel_run *run, const struct cel_value *args, size_t n) {
        __int128 nano = amount_of(args[0])->nano;

        return cel_int(nano > 0 ? 1 : nano < 0 ? -1 : 0);
}

/* --- order --- */

static int compare(const struct cel_value *args) {
        __int128 a = amount_of(args[0])->nano, b = amount_of(args[1])->nano;

        return a < b ? -1 : a > b;
}

static struct cel_value compare_to(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_int(compare(args));
}

static struct cel_value is_greater(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(compare(args) > 0);
}

static struct cel_value is_less(struct cel_run *run, const struct cel_value *args, size_t n) {
        return cel_bool(compare(args) < 0);
}

/* --- sums --- */

static bool times_ten(int64_t *value, int times) {
        for (; times > 0 && *value != 0; times--)
                if (__builtin_mul_overflow(*value, 10, value))
                        return false;
        return true;
}

static bool add_fast(const struct amount *a, struct amount b, struct amount *ret) {
        struct amount sum = *a;

        if (a->decimal || b.decimal)
                return false;
        if (b.value == 0) {
                *ret = sum;
                return true;
        }
        if (a->value == 0) {
                *ret = b;
                return true;
        }
        if (!times_ten(&sum.value, a->scale - b.scale) || !times_ten(&b.value, b.scale - a->scale))
                return false;
        sum.scale = MIN(a->scale, b.scale);
        if (__builtin_add_overflow(sum.value, b.value, &sum.value))
                return false;
        *ret = with_nano(sum);
        return true;
}

static struct cel_value add(struct cel_run *run, struct cel_value to, struct amount b) {
        const struct amount *a = amount_of(to);
        struct amount sum;

        if (!add_fast(a, b, &sum)) {
                /* Both are at most 2^126: no overflow. */
                __int128 nano = MIN(a->nano + b.nano, WIDE_MAX);

                sum = (struct amount){.decimal = true, .nano = MAX(nano, -WIDE_MAX)};
        }
        return cel_opaque_copy(run, &quantity_class, &sum, sizeof(sum));
}

/* INT64_MIN has no negative in the form with 64 bits. */
static struct amount negative(struct amount a) {
        a.decimal |= a.value == INT64_MIN;
        a.value = a.decimal ? 0 : -a.value;
        a.nano = -a.nano;
        return a;
}

static struct amount of_int(int64_t i) {
        return with_nano((struct amount){.value = i});
}

static struct cel_value add_quantity(struct cel_run *run, const struct cel_value *args, size_t n) {
        return add(run, args[0], *amount_of(args[1]));
}

static struct cel_value add_int(struct cel_run *run, const struct cel_value *args, size_t n) {
        return add(run, args[0], of_int(args[1].integer));
}

static struct cel_value sub_quantity(struct cel_run *run, const struct cel_value *args, size_t n) {
        return add(run, args[0], negative(*amount_of(args[1])));
}

static struct cel_value sub_int(struct cel_run *run, const struct cel_value *args, size_t n) {
        return add(run, args[0], negative(of_int(args[1].integer)));
}

/* Kubernetes estimates 1 for quantity() and isQuantity(), whatever the size. sign() is declared as
 * a plain function there and documented as a member: both are taken. */
static const struct cel_row rows[] = {
                {"quantity", 0, "(string) -> kubernetes.Quantity", quantity, cel_cost_of_first,
                                NULL, "string_to_quantity"},
                {"isQuantity", 0, "(string) -> bool", is_quantity, cel_cost_of_first, NULL,
                                "is_quantity_string"},
                {"sign", 0, "(kubernetes.Quantity) -> int", sign, NULL, NULL, "quantity_sign"},
                {"sign", CEL_MEMBER, "(kubernetes.Quantity) -> int", sign, NULL, NULL,
                                "quantity_sign_member"},
                {"isGreaterThan", CEL_MEMBER, "(kubernetes.Quantity, kubernetes.Quantity) -> bool",
                                is_greater, NULL, NULL, "quantity_is_greater_than"},
                {"isLessThan", CEL_MEMBER, "(kubernetes.Quantity, kubernetes.Quantity) -> bool",
                                is_less, NULL, NULL, "quantity_is_less_than"},
                {"compareTo", CEL_MEMBER, "(kubernetes.Quantity, kubernetes.Quantity) -> int",
                                compare_to, NULL, NULL, "quantity_compare_to"},
                {"asApproximateFloat", CEL_MEMBER, "(kubernetes.Quantity) -> double", as_float,
                                NULL, NULL, "quantity_get_float"},
                {"asInteger", CEL_MEMBER, "(kubernetes.Quantity) -> int", as_integer, NULL, NULL,
                                "quantity_get_int"},
                {"isInteger", CEL_MEMBER, "(kubernetes.Quantity) -> bool", is_integer, NULL, NULL,
                                "quantity_is_integer"},
                {"add", CEL_MEMBER,
                                "(kubernetes.Quantity, kubernetes.Quantity) -> kubernetes.Quantity",
                                add_quantity, NULL, NULL, "quantity_add"},
                {"add", CEL_MEMBER, "(kubernetes.Quantity, int) -> kubernetes.Quantity", add_int,
                                NULL, NULL, "quantity_add_int"},
                {"sub", CEL_MEMBER,
                                "(kubernetes.Quantity, kubernetes.Quantity) -> kubernetes.Quantity",
                                sub_quantity, NULL, NULL, "quantity_sub"},
                {"sub", CEL_MEMBER, "(kubernetes.Quantity, int) -> kubernetes.Quantity", sub_int,
                                NULL, NULL, "quantity_sub_int"},
};

static const struct cel_opaque_class *const classes[] = {&quantity_class};

const struct cel_library cel_library_quantity = {.name = "quantity",
                .rows = rows,
                .row_count = ELEMENTS(rows),
                .classes = classes,
                .class_count = ELEMENTS(classes)};
