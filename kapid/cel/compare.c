/* Order of values: numbers across their kinds exactly, texts by bytes. */
#include <math.h>

#include "kapid/cel/internal.h"

static int order_of_ints(int64_t a, int64_t b) {
        return a < b ? -1 : a > b;
}

static int order_of_uints(uint64_t a, uint64_t b) {
        return a < b ? -1 : a > b;
}

static int int_and_uint(int64_t a, uint64_t b) {
        return a < 0 ? -1 : order_of_uints((uint64_t)a, b);
}

/* No rounding: whole parts are compared as integers. b is no NaN. */
static int int_and_double(int64_t a, double b) {
        int r;

        if (b >= 9223372036854775808.0)
                return -1;
        if (b < -9223372036854775808.0)
                return 1;
        r = order_of_ints(a, (int64_t)b);
        if (r != 0)
                return r;
        return b > trunc(b) ? -1 : b < trunc(b);
}

static int uint_and_double(uint64_t a, double b) {
        int r;

        if (b >= 18446744073709551616.0)
                return -1;
        if (b < 0)
                return 1;
        r = order_of_uints(a, (uint64_t)b);
        return r != 0 ? r : b > trunc(b) ? -1 : 0;
}

static bool compare_numbers(struct cel_value a, struct cel_value b, int *ret) {
        if ((a.kind == CEL_DOUBLE && isnan(a.real)) || (b.kind == CEL_DOUBLE && isnan(b.real)))
                return false;
        if (a.kind == CEL_DOUBLE && b.kind == CEL_DOUBLE)
                *ret = a.real < b.real ? -1 : a.real > b.real;
        else if (a.kind == CEL_INT)
                *ret = b.kind == CEL_UINT ? int_and_uint(a.integer, b.natural)
                                          : int_and_double(a.integer, b.real);
        else if (a.kind == CEL_UINT)
                *ret = b.kind == CEL_INT ? -int_and_uint(b.integer, a.natural)
                                         : uint_and_double(a.natural, b.real);
        else
                *ret = b.kind == CEL_INT ? -int_and_double(b.integer, a.real)
                                         : -uint_and_double(b.natural, a.real);
        return true;
}

static bool is_number(struct cel_value v) {
        return v.kind == CEL_INT || v.kind == CEL_UINT || v.kind == CEL_DOUBLE;
}

static int order_of_texts(struct cel_value a, struct cel_value b) {
        size_t n = MIN(a.text.size, b.text.size);
        int r = n > 0 ? memcmp(a.text.data, b.text.data, n) : 0;

        return r != 0 ? (r < 0 ? -1 : 1) : order_of_uints(a.text.size, b.text.size);
}

bool cel_compare(struct cel_value a, struct cel_value b, int *ret) {
        if (is_number(a) && is_number(b) && (a.kind != b.kind || a.kind == CEL_DOUBLE))
                return compare_numbers(a, b, ret);
        if (a.kind != b.kind)
                return false;
        switch (a.kind) {
        case CEL_BOOL:
                *ret = (int)a.boolean - (int)b.boolean;
                return true;
        case CEL_INT:
        case CEL_DURATION:
                *ret = order_of_ints(a.integer, b.integer);
                return true;
        case CEL_UINT:
                *ret = order_of_uints(a.natural, b.natural);
                return true;
        case CEL_STRING:
        case CEL_BYTES:
                *ret = order_of_texts(a, b);
                return true;
        case CEL_TIMESTAMP:
                *ret = order_of_ints(a.integer, b.integer);
                if (*ret == 0)
                        *ret = order_of_ints(a.nanos, b.nanos);
                return true;
        default:
                return false;
        }
}
