/* cel-go's functions on lists (version 3, which Kubernetes has since 1.34): slice, flatten, sort,
 * what sortBy() stands for, distinct, reverse, lists.range. What is more than linear is charged
 * before; the memory of results is that of the evaluation. */
#include "kapid/cel/lib.h"

#include <math.h>

enum {
        CALL_COST = 1,
        LIST_COST = 10,
        FLATTEN_DEPTH_MAX = 2500,
        FLATTEN_VISITS_MAX = 8 * 1000 * 1000,
};

static struct cel_value *items_new(struct cel_run *run, uint64_t count) {
        struct cel_value *items;

        if (count > CEL_TEXT_RESULT_MAX / sizeof(*items))
                return NULL;
        return cel_alloc(run, MAX(count, UINT64_C(1)) * sizeof(*items));
}

static struct cel_value slice(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t start = args[1].integer, end = args[2].integer;
        size_t count = cel_list_count(args[0]);
        struct cel_value *items;
        const char *why = start < 0 || end < 0 ? "negative indexes not supported"
                          : start > end        ? "start index must be less than or equal to end "
                                                 "index"
                                               : NULL;

        if (why)
                return cel_error(run, "cannot slice(%lld, %lld), %s", (long long)start,
                                (long long)end, why);
        if ((uint64_t)end > count)
                return cel_error(run, "cannot slice(%lld, %lld), list is length %zu",
                                (long long)start, (long long)end, count);
        items = items_new(run, (uint64_t)(end - start));
        if (!items)
                return cel_no_memory(run);
        for (int64_t i = start; i < end; i++)
                items[i - start] = cel_list_at(run, args[0], (size_t)i);
        return cel_list_of(run, items, (size_t)(end - start));
}

static struct cel_value flatten_into(struct cel_run *run, struct cel_value into,
                struct cel_value list, int64_t depth, unsigned nested, size_t *visits) {
        if (nested > FLATTEN_DEPTH_MAX)
                return cel_error(run, "flatten: the list is too deep");
        for (size_t i = 0, count = cel_list_count(list); i < count; i++) {
                struct cel_value item = cel_list_at(run, list, i);

                if (!cel_spend(run, 0) || ++*visits > FLATTEN_VISITS_MAX)
                        return cel_spent(run);
                if (cel_is_error(item))
                        return item;
                into = item.kind == CEL_LIST && depth > 0 ? flatten_into(run, into, item, depth - 1,
                                                                            nested + 1, visits)
                                                          : cel_list_append(run, into, item);
                if (cel_is_error(into))
                        return into;
        }
        return into;
}

static struct cel_value flatten(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t depth = n > 1 ? args[1].integer : 1;
        size_t visits = 0;

        if (depth < 0)
                return cel_error(run, "level must be non-negative");
        return flatten_into(run, cel_list_of(run, NULL, 0), args[0], depth, 0, &visits);
}

static struct cel_value range(struct cel_run *run, const struct cel_value *args, size_t n) {
        uint64_t count = args[0].integer > 0 ? (uint64_t)args[0].integer : 0;
        struct cel_value *items = items_new(run, count);

        if (!items)
                return cel_no_memory(run);
        for (uint64_t i = 0; i < count; i++)
                items[i] = cel_int((int64_t)i);
        return cel_list_of(run, items, count);
}

static struct cel_value reverse(struct cel_run *run, const struct cel_value *args, size_t n) {
        size_t count = cel_list_count(args[0]);
        struct cel_value *items = items_new(run, count);

        if (!items)
                return cel_no_memory(run);
        for (size_t i = 0; i < count; i++)
                items[i] = cel_list_at(run, args[0], count - 1 - i);
        return cel_list_of(run, items, count);
}

/* n * n comparisons at 2, or 2.1 of texts. */
static bool charge_compared(struct cel_run *run, struct cel_value list) {
        uint64_t count = cel_list_count(list), pairs = cel_cost_multiply(count, count), cost;
        struct cel_value first = count > 0 ? cel_list_at(run, list, 0) : cel_null();

        cost = cel_cost_multiply(pairs, 2);
        if (first.kind == CEL_STRING || first.kind == CEL_BYTES)
                cost = cel_cost_add(cost, pairs / 10);
        return cel_spend(run, cel_cost_add(cost, CALL_COST + LIST_COST));
}

static struct cel_value distinct(struct cel_run *run, const struct cel_value *args, size_t n) {
        size_t count = cel_list_count(args[0]), kept = 0;
        struct cel_value *items;

        if (!charge_compared(run, args[0]))
                return cel_spent(run);
        items = items_new(run, count);
        if (!items)
                return cel_no_memory(run);
        for (size_t i = 0; i < count; i++) {
                struct cel_value item = cel_list_at(run, args[0], i);
                bool seen = false;

                if (cel_is_error(item))
                        return item;
                for (size_t k = 0; k < kept && !seen; k++) {
                        struct cel_value same = cel_equal(run, item, items[k]);

                        if (!cel_spend(run, 0))
                                return cel_spent(run);
                        seen = same.kind == CEL_BOOL && same.boolean;
                }
                if (!seen)
                        items[kept++] = item;
        }
        return cel_list_of(run, items, kept);
}

/* --- sorting --- */

struct sorted {
        struct cel_value key;
        size_t position;
};

static bool is_nan(struct cel_value v) {
        return v.kind == CEL_DOUBLE && isnan(v.real);
}

/* Stable, and an order also of what has none: NaN is before all numbers. */
static int sorted_compare(const void *a, const void *b) {
        const struct sorted *x = a, *y = b;
        int order = (int)is_nan(y->key) - (int)is_nan(x->key);

        if (order != 0)
                return order;
        if (cel_compare(x->key, y->key, &order) && order != 0)
                return order;
        return (x->position > y->position) - (x->position < y->position);
}

static struct cel_value read_keys(
                struct cel_run *run, struct cel_value keys, struct sorted *sorted, size_t count) {
        int order;

        for (size_t i = 0; i < count; i++) {
                struct cel_value key = cel_list_at(run, keys, i);

                if (cel_is_error(key))
                        return key;
                if (i == 0 && key.kind != CEL_DOUBLE && !cel_compare(key, key, &order))
                        return cel_error(run, "list elements must be comparable");
                if (i > 0 && key.kind != sorted[0].key.kind)
                        return cel_error(run, "list elements must have the same type");
                sorted[i] = (struct sorted){key, i};
        }
        return cel_null();
}

static struct cel_value sort_by_keys(
                struct cel_run *run, struct cel_value list, struct cel_value keys) {
        size_t count = cel_list_count(list);
        struct sorted *sorted;
        struct cel_value *items, error;

        if (count != cel_list_count(keys))
                return cel_error(run,
                                "@sortByAssociatedKeys() expected a list of the same size as the "
                                "associated keys list, but got %zu and %zu elements respectively",
                                count, cel_list_count(keys));
        if (!charge_compared(run, keys))
                return cel_spent(run);
        items = items_new(run, count);
        sorted = items ? cel_alloc(run, MAX(count, (size_t)1) * sizeof(*sorted)) : NULL;
        if (!sorted)
                return cel_no_memory(run);
        error = read_keys(run, keys, sorted, count);
        if (cel_is_error(error))
                return error;
        qsort(sorted, count, sizeof(*sorted), sorted_compare);
        for (size_t i = 0; i < count; i++)
                items[i] = cel_list_at(run, list, sorted[i].position);
        return cel_list_of(run, items, count);
}

static struct cel_value sort(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sort_by_keys(run, args[0], args[0]);
}

static struct cel_value sort_by(struct cel_run *run, const struct cel_value *args, size_t n) {
        return sort_by_keys(run, args[0], args[1]);
}

/* --- costs --- */

static uint64_t cost_result(
                const struct cel_value *args, size_t n, const struct cel_value *result) {
        return cel_cost_add(cel_is_error(*result) ? 1 : cel_size_for_cost(*result),
                        CALL_COST + LIST_COST);
}

static uint64_t cost_flatten(
                const struct cel_value *args, size_t n, const struct cel_value *result) {
        uint64_t depth = n > 1 ? (uint64_t)MAX(args[1].integer, INT64_C(0)) : 1;

        return cel_cost_add(
                        cel_cost_multiply(cel_list_count(args[0]), depth), CALL_COST + LIST_COST);
}

static struct cel_range with_base(struct cel_range cost) {
        return cel_range_add(
                        cost, (struct cel_range){CALL_COST + LIST_COST, CALL_COST + LIST_COST});
}

static bool is_constant(struct cel_range number) {
        return number.min == number.max;
}

static void estimate_slice(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range start = cel_range_of_items(args, n, 1),
                         end = cel_range_of_items(args, n, 2);
        uint64_t from = is_constant(start) ? start.min : 0,
                 to = is_constant(end) ? end.min : args[0].max, size = to > from ? to - from : 0;

        *ret_size = (struct cel_range){size, size};
        *ret_cost = with_base(*ret_size);
}

static void estimate_range(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range count = cel_range_of_items(args, n, 0);

        *ret_size = (struct cel_range){count.max, count.max};
        *ret_cost = with_base(*ret_size);
}

static void estimate_same(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_size = args[0];
        *ret_cost = with_base(args[0]);
}

static void estimate_flatten(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        uint64_t depth = n > 1 ? cel_range_of_items(args, n, 1).max : 1;

        *ret_size = args[0];
        *ret_cost = with_base(cel_range_multiply(args[0], (struct cel_range){depth, depth}));
}

/* The result's size is the number of pairs: cel-go's model. */
static void estimate_pairs(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range keys = args[n - 1];

        *ret_size = cel_range_multiply(keys, keys);
        *ret_cost = with_base(cel_range_multiply(*ret_size, (struct cel_range){2, 2}));
}

static void estimate_text_pairs(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        estimate_pairs(args, n, ret_cost, ret_size);
        *ret_cost = cel_range_add(*ret_cost, cel_range_text(*ret_size));
}

#define SORT(type, estimate) \
        {"sort", CEL_MEMBER, "(list(" type ")) -> list(" type ")", sort, cel_cost_charged, \
                        estimate, "list_" type "_sort"}, \
        { \
                "@sortByAssociatedKeys", CEL_MEMBER, "(list(T), list(" type ")) -> list(T)", \
                                sort_by, cel_cost_charged, estimate, \
                                "list_" type "_sortByAssociatedKeys" \
        }

static const struct cel_row rows[] = {
                {"slice", CEL_MEMBER, "(list(T), int, int) -> list(T)", slice, cost_result,
                                estimate_slice, "list_slice"},
                {"flatten", CEL_MEMBER, "(list(list(T))) -> list(T)", flatten, cost_flatten,
                                estimate_flatten, "list_flatten"},
                {"flatten", CEL_MEMBER, "(list(dyn), int) -> list(dyn)", flatten, cost_flatten,
                                estimate_flatten, "list_flatten_int"},
                SORT("int", estimate_pairs),
                SORT("uint", estimate_pairs),
                SORT("double", estimate_pairs),
                SORT("bool", estimate_pairs),
                SORT("duration", estimate_pairs),
                SORT("timestamp", estimate_pairs),
                SORT("string", estimate_text_pairs),
                SORT("bytes", estimate_text_pairs),
                {"lists.range", 0, "(int) -> list(int)", range, cost_result, estimate_range,
                                "lists_range"},
                {"reverse", CEL_MEMBER, "(list(T)) -> list(T)", reverse, cost_result, estimate_same,
                                "list_reverse"},
                {"distinct", CEL_MEMBER, "(list(T)) -> list(T)", distinct, cel_cost_charged,
                                estimate_pairs, "list_distinct"},
};

const struct cel_library cel_library_lists_more = {
                .name = "more lists", .rows = rows, .row_count = ELEMENTS(rows)};
