/* The standard functions: operators, order, membership, sizes, texts. */
#include <math.h>

#include "kapid/cel/internal.h"
#include "kapid/schema/pattern.h"

/* What the evaluator does itself has a row only for its types. */
static struct cel_value special(struct cel_run *run, const struct cel_value *args, size_t n) {
        (void)args;
        (void)n;
        return cel_error(run, "no such overload");
}

static struct cel_value overflow(struct cel_run *run) {
        return cel_error(run, "integer overflow");
}

static struct cel_value unsigned_overflow(struct cel_run *run) {
        return cel_error(run, "unsigned integer overflow");
}

static struct cel_value add_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        int64_t r;

        (void)n;
        return __builtin_add_overflow(a[0].integer, a[1].integer, &r) ? overflow(run) : cel_int(r);
}

static struct cel_value subtract_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        int64_t r;

        (void)n;
        return __builtin_sub_overflow(a[0].integer, a[1].integer, &r) ? overflow(run) : cel_int(r);
}

static struct cel_value multiply_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        int64_t r;

        (void)n;
        return __builtin_mul_overflow(a[0].integer, a[1].integer, &r) ? overflow(run) : cel_int(r);
}

static struct cel_value divide_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        if (a[1].integer == 0)
                return cel_error(run, "division by zero");
        if (a[0].integer == INT64_MIN && a[1].integer == -1)
                return overflow(run);
        return cel_int(a[0].integer / a[1].integer);
}

static struct cel_value modulo_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        if (a[1].integer == 0)
                return cel_error(run, "modulus by zero");
        if (a[0].integer == INT64_MIN && a[1].integer == -1)
                return overflow(run);
        return cel_int(a[0].integer % a[1].integer);
}

static struct cel_value negate_int(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].integer == INT64_MIN ? overflow(run) : cel_int(-a[0].integer);
}

static struct cel_value add_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        uint64_t r;

        (void)n;
        return __builtin_add_overflow(a[0].natural, a[1].natural, &r) ? unsigned_overflow(run)
                                                                      : cel_uint(r);
}

static struct cel_value subtract_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        uint64_t r;

        (void)n;
        return __builtin_sub_overflow(a[0].natural, a[1].natural, &r) ? unsigned_overflow(run)
                                                                      : cel_uint(r);
}

static struct cel_value multiply_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        uint64_t r;

        (void)n;
        return __builtin_mul_overflow(a[0].natural, a[1].natural, &r) ? unsigned_overflow(run)
                                                                      : cel_uint(r);
}

static struct cel_value divide_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[1].natural == 0 ? cel_error(run, "division by zero")
                                 : cel_uint(a[0].natural / a[1].natural);
}

static struct cel_value modulo_uint(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[1].natural == 0 ? cel_error(run, "modulus by zero")
                                 : cel_uint(a[0].natural % a[1].natural);
}

static struct cel_value add_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double(a[0].real + a[1].real);
}

static struct cel_value subtract_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double(a[0].real - a[1].real);
}

static struct cel_value multiply_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double(a[0].real * a[1].real);
}

static struct cel_value divide_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double(a[0].real / a[1].real);
}

static struct cel_value negate_double(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_double(-a[0].real);
}

static struct cel_value add_text(struct cel_run *run, const struct cel_value *a, size_t n) {
        size_t size = a[0].text.size + a[1].text.size;
        char *p = cel_alloc(run, size);

        (void)n;
        if (!p)
                return cel_no_memory(run);
        memcpy(p, a[0].text.data, a[0].text.size);
        memcpy(p + a[0].text.size, a[1].text.data, a[1].text.size);
        return (struct cel_value){.kind = a[0].kind, .text = {p, size}};
}

static struct cel_value add_list(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return cel_list_join(run, a[0], a[1]);
}

static struct cel_value not_bool(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bool(!a[0].boolean);
}

static struct cel_value equal(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return cel_equal(run, a[0], a[1]);
}

static struct cel_value differ(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value v = cel_equal(run, a[0], a[1]);

        (void)n;
        return cel_is_error(v) ? v : cel_bool(!v.boolean);
}

static struct cel_value less(struct cel_run *run, const struct cel_value *a, size_t n) {
        int order;

        (void)run;
        (void)n;
        return cel_bool(cel_compare(a[0], a[1], &order) && order < 0);
}

static struct cel_value less_equal(struct cel_run *run, const struct cel_value *a, size_t n) {
        int order;

        (void)run;
        (void)n;
        return cel_bool(cel_compare(a[0], a[1], &order) && order <= 0);
}

static struct cel_value greater(struct cel_run *run, const struct cel_value *a, size_t n) {
        int order;

        (void)run;
        (void)n;
        return cel_bool(cel_compare(a[0], a[1], &order) && order > 0);
}

static struct cel_value greater_equal(struct cel_run *run, const struct cel_value *a, size_t n) {
        int order;

        (void)run;
        (void)n;
        return cel_bool(cel_compare(a[0], a[1], &order) && order >= 0);
}

static struct cel_value in_list(struct cel_run *run, const struct cel_value *a, size_t n) {
        size_t count = cel_list_count(a[1]);

        (void)n;
        for (size_t i = 0; i < count; i++) {
                struct cel_value same = cel_equal(run, a[0], cel_list_at(run, a[1], i));

                if (cel_is_error(same) || same.boolean)
                        return same;
                if (!cel_spend(run, 0))
                        return cel_spent(run);
        }
        return cel_bool(false);
}

static struct cel_value in_map(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value found;

        (void)n;
        return cel_bool(cel_map_find(run, a[1], a[0], &found));
}

static struct cel_value size(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_int((int64_t)cel_size_for_cost(a[0]));
}

static bool has_at(struct cel_value text, size_t at, struct cel_value part) {
        return at <= text.text.size && part.text.size <= text.text.size - at &&
               memcmp(text.text.data + at, part.text.data, part.text.size) == 0;
}

static struct cel_value starts_with(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bool(has_at(a[0], 0, a[1]));
}

static struct cel_value ends_with(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bool(a[1].text.size <= a[0].text.size &&
                        has_at(a[0], a[0].text.size - a[1].text.size, a[1]));
}

static struct cel_value contains(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bool(memmem(a[0].text.data, a[0].text.size, a[1].text.data, a[1].text.size) !=
                        NULL);
}

static struct cel_value matches(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value error;
        struct pattern *p = cel_pattern(run, a[1], &error);
        int r;

        (void)n;
        if (!p)
                return error;
        r = pattern_match(p, a[0].text.data, a[0].text.size, cel_pattern_steps(run));
        if (r == -E2BIG)
                return cel_spent(run);
        if (r == -ENOMEM)
                return cel_no_memory(run);
        return r < 0 ? cel_error(run, "the pattern could not be compiled") : cel_bool(r > 0);
}

static struct cel_value map_insert(struct cel_run *run, const struct cel_value *a, size_t n) {
        struct cel_value map = a[0], key, value;
        struct cel_map_at at = {};

        if (n == 3)
                return cel_map_insert(run, map, a[1], a[2]);
        while (!cel_is_error(map) && cel_map_next(run, a[1], &at, &key, &value))
                map = cel_map_insert(run, map, key, value);
        return map;
}

static struct cel_value type_of(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_type_value(cel_type_of(a[0]));
}

static struct cel_value itself(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return a[0];
}

/* Costs. */
static uint64_t cost_smaller(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_text(MIN(cel_size_for_cost(a[0]), cel_size_for_cost(a[1])));
}

static void estimate_smaller(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        uint64_t most = MIN(a[0].max, a[1].max);

        (void)n;
        (void)ret_size;
        *ret_cost = cel_range_text((struct cel_range){most > 0 ? 1 : 0, most});
}

static uint64_t cost_sum(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_text(cel_size_for_cost(a[0]) + cel_size_for_cost(a[1]));
}

static void estimate_sum(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        *ret_size = cel_range_add(a[0], a[1]);
        *ret_cost = cel_range_text(*ret_size);
}

static void estimate_list_sum(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        (void)ret_cost;
        *ret_size = cel_range_add(a[0], a[1]);
}

static uint64_t cost_in_list(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_list_count(a[1]);
}

static void estimate_in_list(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        (void)ret_size;
        *ret_cost = a[1];
}

/* Kubernetes counts the text at run time and the part in the estimate. */
static uint64_t cost_first(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_text(cel_size_for_cost(a[0]));
}

static void estimate_second(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        (void)ret_size;
        *ret_cost = cel_range_text(a[1]);
}

static uint64_t cost_product(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_multiply(cel_cost_text(cel_size_for_cost(a[0])),
                        cel_cost_text(cel_size_for_cost(a[1])));
}

static void estimate_product(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        (void)n;
        (void)ret_size;
        *ret_cost = cel_range_multiply(cel_range_text(a[0]), cel_range_text(a[1]));
}

/* A pattern costs a quarter of its length for each tenth of the text. */
static uint64_t quarter(uint64_t size) {
        return size / 4 + (size % 4 > 0);
}

static uint64_t cost_matches(const struct cel_value *a, size_t n, const struct cel_value *result) {
        (void)n;
        (void)result;
        return cel_cost_multiply(cel_cost_text(cel_size_for_cost(a[0]) + 1),
                        quarter(cel_size_for_cost(a[1])));
}

static void estimate_matches(const struct cel_range *a, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range one = {1, 1}, pattern = {quarter(a[1].min), quarter(a[1].max)};

        (void)n;
        (void)ret_size;
        *ret_cost = cel_range_multiply(cel_range_text(cel_range_add(a[0], one)), pattern);
}

#define ORDER(A, B, cost, estimate) \
        {"_<_", 0, "(" A ", " B ") -> bool", less, cost, estimate, NULL}, \
                        {"_<=_", 0, "(" A ", " B ") -> bool", less_equal, cost, estimate, NULL}, \
                        {"_>_", 0, "(" A ", " B ") -> bool", greater, cost, estimate, NULL}, { \
                "_>=_", 0, "(" A ", " B ") -> bool", greater_equal, cost, estimate, NULL \
        }

static const struct cel_row rows[] = {
                {"_?_:_", 0, "(bool, A, A) -> A", special, NULL, NULL, NULL},
                {"_[_]", 0, "(list(A), int) -> A", special, NULL, NULL, NULL},
                {"_[_]", 0, "(map(A, B), A) -> B", special, NULL, NULL, NULL},
                {"_[_]", 0, "(optional(list(A)), int) -> optional(A)", special, NULL, NULL, NULL},
                {"_[_]", 0, "(optional(map(A, B)), A) -> optional(B)", special, NULL, NULL, NULL},
                {"_[?_]", 0, "(list(A), int) -> optional(A)", special, NULL, NULL, NULL},
                {"_[?_]", 0, "(map(A, B), A) -> optional(B)", special, NULL, NULL, NULL},
                {"_[?_]", 0, "(optional(list(A)), int) -> optional(A)", special, NULL, NULL, NULL},
                {"_[?_]", 0, "(optional(map(A, B)), A) -> optional(B)", special, NULL, NULL, NULL},
                {"@not_strictly_false", 0, "(bool) -> bool", special, NULL, NULL, NULL},
                {"cel.@mapInsert", 0, "(map(A, B), A, B) -> map(A, B)", map_insert, NULL, NULL,
                                NULL},
                {"cel.@mapInsert", 0, "(map(A, B), map(A, B)) -> map(A, B)", map_insert, NULL, NULL,
                                NULL},
                {"!_", 0, "(bool) -> bool", not_bool, NULL, NULL, NULL},
                {"_==_", 0, "(A, A) -> bool", equal, cost_smaller, estimate_smaller, NULL},
                {"_!=_", 0, "(A, A) -> bool", differ, cost_smaller, estimate_smaller, NULL},
                {"_+_", 0, "(int, int) -> int", add_int, NULL, NULL, NULL},
                {"_+_", 0, "(uint, uint) -> uint", add_uint, NULL, NULL, NULL},
                {"_+_", 0, "(double, double) -> double", add_double, NULL, NULL, NULL},
                {"_+_", 0, "(string, string) -> string", add_text, cost_sum, estimate_sum, NULL},
                {"_+_", 0, "(bytes, bytes) -> bytes", add_text, cost_sum, estimate_sum, NULL},
                {"_+_", 0, "(list(A), list(A)) -> list(A)", add_list, NULL, estimate_list_sum,
                                NULL},
                {"_-_", 0, "(int, int) -> int", subtract_int, NULL, NULL, NULL},
                {"_-_", 0, "(uint, uint) -> uint", subtract_uint, NULL, NULL, NULL},
                {"_-_", 0, "(double, double) -> double", subtract_double, NULL, NULL, NULL},
                {"_*_", 0, "(int, int) -> int", multiply_int, NULL, NULL, NULL},
                {"_*_", 0, "(uint, uint) -> uint", multiply_uint, NULL, NULL, NULL},
                {"_*_", 0, "(double, double) -> double", multiply_double, NULL, NULL, NULL},
                {"_/_", 0, "(int, int) -> int", divide_int, NULL, NULL, NULL},
                {"_/_", 0, "(uint, uint) -> uint", divide_uint, NULL, NULL, NULL},
                {"_/_", 0, "(double, double) -> double", divide_double, NULL, NULL, NULL},
                {"_%_", 0, "(int, int) -> int", modulo_int, NULL, NULL, NULL},
                {"_%_", 0, "(uint, uint) -> uint", modulo_uint, NULL, NULL, NULL},
                {"-_", 0, "(int) -> int", negate_int, NULL, NULL, NULL},
                {"-_", 0, "(double) -> double", negate_double, NULL, NULL, NULL},
                ORDER("bool", "bool", NULL, NULL),
                ORDER("int", "int", NULL, NULL),
                ORDER("uint", "uint", NULL, NULL),
                ORDER("double", "double", NULL, NULL),
                ORDER("int", "uint", NULL, NULL),
                ORDER("int", "double", NULL, NULL),
                ORDER("uint", "int", NULL, NULL),
                ORDER("uint", "double", NULL, NULL),
                ORDER("double", "int", NULL, NULL),
                ORDER("double", "uint", NULL, NULL),
                ORDER("string", "string", cost_smaller, estimate_smaller),
                ORDER("bytes", "bytes", cost_smaller, estimate_smaller),
                ORDER("timestamp", "timestamp", NULL, NULL),
                ORDER("duration", "duration", NULL, NULL),
                {"@in", 0, "(A, list(A)) -> bool", in_list, cost_in_list, estimate_in_list, NULL},
                {"@in", 0, "(A, map(A, B)) -> bool", in_map, NULL, NULL, NULL},
                {"size", 0, "(string) -> int", size, NULL, NULL, NULL},
                {"size", 0, "(bytes) -> int", size, NULL, NULL, NULL},
                {"size", 0, "(list(A)) -> int", size, NULL, NULL, NULL},
                {"size", 0, "(map(A, B)) -> int", size, NULL, NULL, NULL},
                {"size", CEL_MEMBER, "(string) -> int", size, NULL, NULL, NULL},
                {"size", CEL_MEMBER, "(bytes) -> int", size, NULL, NULL, NULL},
                {"size", CEL_MEMBER, "(list(A)) -> int", size, NULL, NULL, NULL},
                {"size", CEL_MEMBER, "(map(A, B)) -> int", size, NULL, NULL, NULL},
                {"startsWith", CEL_MEMBER, "(string, string) -> bool", starts_with, cost_first,
                                estimate_second, NULL},
                {"endsWith", CEL_MEMBER, "(string, string) -> bool", ends_with, cost_first,
                                estimate_second, NULL},
                {"contains", CEL_MEMBER, "(string, string) -> bool", contains, cost_product,
                                estimate_product, NULL},
                {"matches", CEL_MEMBER, "(string, string) -> bool", matches, cost_matches,
                                estimate_matches, NULL},
                {"matches", 0, "(string, string) -> bool", matches, cost_matches, estimate_matches,
                                NULL},
                {"type", 0, "(A) -> type(A)", type_of, NULL, NULL, NULL},
                {"dyn", 0, "(A) -> dyn", itself, NULL, NULL, NULL},
};

const struct cel_library cel_library_standard = {
                .name = "standard", .rows = rows, .row_count = ELEMENTS(rows)};
