/* Kubernetes' find() and findAll() on strings. Which matches there are, empty ones too, is as Go's
 * regexp package has it. */
#include "kapid/cel/lib.h"
#include "kapid/schema/pattern.h"

static struct cel_value gave_up(struct cel_run *run, int r) {
        if (r == -ENOMEM)
                return cel_no_memory(run);
        return cel_error(run, "the regular expression takes too many steps for this text");
}

static struct cel_value find(struct cel_run *run, const struct cel_value *args, size_t n) {
        struct cel_value error, text = args[0];
        struct pattern *p = cel_pattern(run, args[1], &error);
        size_t start, end;
        int r;

        if (!p)
                return error;
        r = pattern_find(
                        p, text.text.data, text.text.size, 0, cel_pattern_steps(run), &start, &end);
        if (r < 0)
                return gave_up(run, r);
        return r > 0 ? cel_string_at(text.text.data + start, end - start) : cel_string_at("", 0);
}

static struct cel_value all_matches(
                struct cel_run *run, struct pattern *p, struct cel_value text, uint64_t most) {
        struct cel_value list = cel_list_of(run, NULL, 0);
        size_t before = SIZE_MAX; /* where the match before ended */

        for (size_t at = 0, start, end; !cel_is_error(list) && cel_list_count(list) < most;) {
                int r = pattern_find(p, text.text.data, text.text.size, at, cel_pattern_steps(run),
                                &start, &end);

                if (r < 0)
                        return gave_up(run, r);
                if (r == 0)
                        break;
                /* An empty match right behind another one is none. */
                if (end > at || start != before)
                        list = cel_list_append(run, list,
                                        cel_string_at(text.text.data + start, end - start));
                before = end;
                if (end == text.text.size && end == at)
                        break;
                at = end > at ? end : at + cel_code_point_size(cel_text_from(text, at));
        }
        return list;
}

static struct cel_value find_all(struct cel_run *run, const struct cel_value *args, size_t n) {
        int64_t most = n > 2 ? args[2].integer : -1;
        struct cel_value error;
        struct pattern *p = cel_pattern(run, args[1], &error);

        return p ? all_matches(run, p, args[0], most < 0 ? UINT64_MAX : (uint64_t)most) : error;
}

static uint64_t cost(const struct cel_value *args, size_t n, const struct cel_value *result) {
        uint64_t pattern = cel_size_for_cost(args[1]);

        return cel_cost_multiply(cel_cost_text(cel_size_for_cost(args[0]) + 1),
                        pattern / 4 + (pattern % 4 != 0));
}

static void estimate(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size) {
        struct cel_range text = cel_range_text(cel_range_add(args[0], (struct cel_range){1, 1}));
        struct cel_range pattern = {args[1].min / 4 + (args[1].min % 4 != 0),
                        args[1].max / 4 + (args[1].max % 4 != 0)};

        *ret_cost = cel_range_multiply(text, pattern);
        *ret_size = (struct cel_range){0, args[0].max};
}

static const struct cel_row rows[] = {
                {"find", CEL_MEMBER, "(string, string) -> string", find, cost, estimate,
                                "string_find_string"},
                {"findAll", CEL_MEMBER, "(string, string) -> list(string)", find_all, cost,
                                estimate, "string_find_all_string"},
                {"findAll", CEL_MEMBER, "(string, string, int) -> list(string)", find_all, cost,
                                estimate, "string_find_all_string_int"},
};

const struct cel_library cel_library_regex = {
                .name = "regex", .rows = rows, .row_count = ELEMENTS(rows)};
