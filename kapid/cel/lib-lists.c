/* Kubernetes' functions on lists: isSorted, sum, min, max, indexOf, lastIndexOf. */
#include "kapid/cel/lib.h"

static struct cel_value is_sorted(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value before = {};
        int order;

        if (!cel_charge_walk(run, args[0]))
                return cel_spent(run);
        for (size_t i = 0, count = cel_list_count(args[0]); i < count; i++) {
                struct cel_value item = cel_list_at(run, args[0], i);

                if (cel_is_error(item))
                        return item;
                if (i > 0 && !cel_compare(before, item, &order)) {
                        /* NaN is neither before nor behind a number. */
                        if (before.kind != CEL_DOUBLE && item.kind != CEL_DOUBLE)
                                return cel_no_overload(run, "isSorted");
                } else if (i > 0 && order > 0)
                        return cel_bool(false);
                before = item;
        }
        return cel_bool(true);
}

/* --- sums --- */

static bool add(struct cel_value *sum, struct cel_value v) {
        switch (v.kind) {
        case CEL_UINT:
                return !__builtin_add_overflow(sum->natural, v.natural, &sum->natural);
        case CEL_DOUBLE:
                sum->real += v.real;
                return true;
        default:
                return !__builtin_add_overflow(sum->integer, v.integer, &sum->integer);
        }
}

static bool has_sum(enum cel_kind kind) {
        return kind == CEL_INT || kind == CEL_UINT || kind == CEL_DOUBLE || kind == CEL_DURATION;
}

/* Of what a declared type does not tell, the first item does. */
static struct cel_value sum_from(struct cel_run *run, struct cel_value list, struct cel_value sum) {
        if (!cel_charge_walk(run, list))
                return cel_spent(run);
        for (size_t i = 0, count = cel_list_count(list); i < count; i++) {
                struct cel_value item = cel_list_at(run, list, i);

                if (cel_is_error(item))
                        return item;
                if (i == 0 && has_sum((enum cel_kind)item.kind)) {
                        sum = item;
                        continue;
                }
                if (item.kind != sum.kind)
                        return cel_no_overload(run, "sum");
                if (!add(&sum, item))
                        return cel_error(run, item.kind == CEL_UINT  ? "unsigned integer overflow"
                                              : item.kind == CEL_INT ? "integer overflow"
                                                                     : "duration overflow");
        }
        return sum;
}

static struct cel_value sum_int(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sum_from(run, args[0], cel_int(0));
}

static struct cel_value sum_uint(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sum_from(run, args[0], cel_uint(0));
}

static struct cel_value sum_double(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sum_from(run, args[0], cel_double(0));
}

static struct cel_value sum_duration(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sum_from(run, args[0], cel_duration(0));
}

/* --- the least and the greatest; of equal ones the first --- */

static struct cel_value extreme(
                struct cel_run *run, struct cel_value list, const char *name, int wanted) {
        struct cel_value best = {};
        int order;

        if (!cel_charge_walk(run, list))
                return cel_spent(run);
        for (size_t i = 0, count = cel_list_count(list); i < count; i++) {
                struct cel_value item = cel_list_at(run, list, i);

                if (cel_is_error(item))
                        return item;
                if (i == 0)
                        best = item;
                else if (!cel_compare(best, item, &order)) {
                        if (best.kind != CEL_DOUBLE && item.kind != CEL_DOUBLE)
                                return cel_no_overload(run, name);
                } else if (order == -wanted)
                        best = item;
        }
        return cel_is_error(best) ? cel_error(run, "%s called on empty list", name) : best;
}

static struct cel_value least(struct cel_run *run, const struct cel_value *args, size_t n) {
        return extreme(run, args[0], "min", -1);
}

static struct cel_value greatest(struct cel_run *run, const struct cel_value *args, size_t n) {
        return extreme(run, args[0], "max", 1);
}

/* --- places --- */

static struct cel_value place(struct cel_run *run, const struct cel_value *args, bool last) {
        size_t count = cel_list_count(args[0]);

        if (!cel_charge_walk(run, args[0]))
                return cel_spent(run);
        for (size_t i = 0; i < count; i++) {
                size_t at = last ? count - 1 - i : i;
                struct cel_value same = cel_equal(run, cel_list_at(run, args[0], at), args[1]);

                if (!cel_spend(run, 0))
                        return cel_spent(run);
                if (same.kind == CEL_BOOL && same.boolean)
                        return cel_int((int64_t)at);
        }
        return cel_int(-1);
}

static struct cel_value first_place(struct cel_run *run, const struct cel_value *args, size_t n) {
        return place(run, args, false);
}

static struct cel_value last_place(struct cel_run *run, const struct cel_value *args, size_t n) {
        return place(run, args, true);
}

static void estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = args[0];
}

/* Items that are texts are compared letter by letter. */
static void estimate_texts(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range item = cel_range_text(cel_range_of_items(args, n, 0));

        *ret_cost = cel_range_multiply(args[0], cel_range_add(item, (struct cel_range){1, 1}));
}

/* A row for each type of items. */
#define ROW(name, signature, function, estimate, overload) \
        { name, CEL_MEMBER, signature, function, cel_cost_charged, estimate, overload }

static const struct cel_row rows[] = {
                ROW("isSorted", "(list(int)) -> bool", is_sorted, estimate,
                                "list_int_is_sorted_bool"),
                ROW("isSorted", "(list(uint)) -> bool", is_sorted, estimate,
                                "list_uint_is_sorted_bool"),
                ROW("isSorted", "(list(double)) -> bool", is_sorted, estimate,
                                "list_double_is_sorted_bool"),
                ROW("isSorted", "(list(bool)) -> bool", is_sorted, estimate,
                                "list_bool_is_sorted_bool"),
                ROW("isSorted", "(list(duration)) -> bool", is_sorted, estimate,
                                "list_duration_is_sorted_bool"),
                ROW("isSorted", "(list(timestamp)) -> bool", is_sorted, estimate,
                                "list_timestamp_is_sorted_bool"),
                ROW("isSorted", "(list(string)) -> bool", is_sorted, estimate_texts,
                                "list_string_is_sorted_bool"),
                ROW("isSorted", "(list(bytes)) -> bool", is_sorted, estimate_texts,
                                "list_bytes_is_sorted_bool"),
                ROW("sum", "(list(int)) -> int", sum_int, estimate, "list_int_sum_int"),
                ROW("sum", "(list(uint)) -> uint", sum_uint, estimate, "list_uint_sum_uint"),
                ROW("sum", "(list(double)) -> double", sum_double, estimate,
                                "list_double_sum_double"),
                ROW("sum", "(list(duration)) -> duration", sum_duration, estimate,
                                "list_duration_sum_duration"),
                ROW("max", "(list(int)) -> int", greatest, estimate, "list_int_max_int"),
                ROW("max", "(list(uint)) -> uint", greatest, estimate, "list_uint_max_uint"),
                ROW("max", "(list(double)) -> double", greatest, estimate,
                                "list_double_max_double"),
                ROW("max", "(list(bool)) -> bool", greatest, estimate, "list_bool_max_bool"),
                ROW("max", "(list(duration)) -> duration", greatest, estimate,
                                "list_duration_max_duration"),
                ROW("max", "(list(timestamp)) -> timestamp", greatest, estimate,
                                "list_timestamp_max_timestamp"),
                ROW("max", "(list(string)) -> string", greatest, estimate_texts,
                                "list_string_max_string"),
                ROW("max", "(list(bytes)) -> bytes", greatest, estimate_texts,
                                "list_bytes_max_bytes"),
                ROW("min", "(list(int)) -> int", least, estimate, "list_int_min_int"),
                ROW("min", "(list(uint)) -> uint", least, estimate, "list_uint_min_uint"),
                ROW("min", "(list(double)) -> double", least, estimate, "list_double_min_double"),
                ROW("min", "(list(bool)) -> bool", least, estimate, "list_bool_min_bool"),
                ROW("min", "(list(duration)) -> duration", least, estimate,
                                "list_duration_min_duration"),
                ROW("min", "(list(timestamp)) -> timestamp", least, estimate,
                                "list_timestamp_min_timestamp"),
                ROW("min", "(list(string)) -> string", least, estimate_texts,
                                "list_string_min_string"),
                ROW("min", "(list(bytes)) -> bytes", least, estimate_texts, "list_bytes_min_bytes"),
                ROW("indexOf", "(list(A), A) -> int", first_place, estimate_texts,
                                "list_a_index_of_int"),
                ROW("lastIndexOf", "(list(A), A) -> int", last_place, estimate_texts,
                                "list_a_last_index_of_int"),
};

const struct cel_library cel_library_lists = {
                .name = "lists", .rows = rows, .row_count = ELEMENTS(rows)};
