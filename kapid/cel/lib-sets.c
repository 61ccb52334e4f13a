/* Lists as sets: cel-go's sets.contains, sets.equivalent, sets.intersects. Every item of one list
 * is compared with every item of the other at worst; that is charged before. */
#include "kapid/cel/lib.h"

static bool charge(struct cel_run *run, const struct cel_value *args, uint64_t times) {
        uint64_t pairs = cel_cost_multiply(cel_list_count(args[0]), cel_list_count(args[1]));

        return cel_spend(run, cel_cost_add(cel_cost_multiply(pairs, times), 1));
}

/* A bool, or an error when the time is spent. */
static struct cel_value has(struct cel_run *run, struct cel_value list, struct cel_value item) {
        for (size_t i = 0, n = cel_list_count(list); i < n; i++) {
                struct cel_value same = cel_equal(run, cel_list_at(run, list, i), item);

                if (!cel_spend(run, 0))
                        return cel_spent(run);
                if (same.kind == CEL_BOOL && same.boolean)
                        return same;
        }
        return cel_bool(false);
}

/* Whether all items of `part` are in the list; or with `any`, one. */
static struct cel_value holds(
                struct cel_run *run, struct cel_value list, struct cel_value part, bool any) {
        for (size_t i = 0, n = cel_list_count(part); i < n; i++) {
                struct cel_value item = cel_list_at(run, part, i), found;

                if (cel_is_error(item))
                        return item;
                found = has(run, list, item);
                if (cel_is_error(found) || found.boolean == any)
                        return found;
        }
        return cel_bool(!any);
}

static struct cel_value contains(struct cel_run *run, const struct cel_value *args, size_t n) {
        return charge(run, args, 1) ? holds(run, args[0], args[1], false) : cel_spent(run);
}

static struct cel_value intersects(struct cel_run *run, const struct cel_value *args, size_t n) {
        return charge(run, args, 1) ? holds(run, args[1], args[0], true) : cel_spent(run);
}

static struct cel_value equivalent(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value v;

        if (!charge(run, args, 2))
                return cel_spent(run);
        v = holds(run, args[0], args[1], false);
        if (cel_is_error(v) || !v.boolean)
                return v;
        return holds(run, args[1], args[0], false);
}

static void estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        *ret_cost = cel_range_add(cel_range_multiply(args[0], args[1]), (struct cel_range){1, 1});
}

static void estimate_twice(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range pairs = cel_range_multiply(args[0], args[1]);

        *ret_cost = cel_range_add(cel_range_multiply(pairs, (struct cel_range){2, 2}),
                        (struct cel_range){1, 1});
}

static const struct cel_row rows[] = {
                {"sets.contains", 0, "(list(T), list(T)) -> bool", contains, cel_cost_charged,
                                estimate, "list_sets_contains_list"},
                {"sets.equivalent", 0, "(list(T), list(T)) -> bool", equivalent, cel_cost_charged,
                                estimate_twice, "list_sets_equivalent_list"},
                {"sets.intersects", 0, "(list(T), list(T)) -> bool", intersects, cel_cost_charged,
                                estimate, "list_sets_intersects_list"},
};

const struct cel_library cel_library_sets = {
                .name = "sets", .rows = rows, .row_count = ELEMENTS(rows)};
