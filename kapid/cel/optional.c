/* Optional values: optional.of(x), x.hasValue(), x.orValue(y)... or() and orValue() are the
 * evaluator's, because they need their argument only sometimes. */
#include "kapid/cel/internal.h"

static struct cel_value of(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return cel_some(run, a[0]);
}

static bool is_zero(struct cel_value v) {
        switch (v.kind) {
        case CEL_NULL:
                return true;
        case CEL_BOOL:
                return !v.boolean;
        case CEL_INT:
        case CEL_DURATION:
                return v.integer == 0;
        case CEL_UINT:
                return v.natural == 0;
        case CEL_DOUBLE:
                return v.real == 0;
        case CEL_STRING:
        case CEL_BYTES:
                return v.text.size == 0;
        case CEL_LIST:
                return cel_list_count(v) == 0;
        case CEL_MAP:
                return cel_map_count(v) == 0;
        case CEL_OPTIONAL:
                return !v.inner;
        default:
                return false;
        }
}

static struct cel_value of_non_zero(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return is_zero(a[0]) ? cel_none() : cel_some(run, a[0]);
}

static struct cel_value none(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)a;
        (void)n;
        return cel_none();
}

static struct cel_value has_value(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return cel_bool(a[0].inner != NULL);
}

static struct cel_value value(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)n;
        return a[0].inner ? *a[0].inner : cel_error(run, "optional.none() dereference");
}

static struct cel_value or_else(struct cel_run *run, const struct cel_value *a, size_t n) {
        (void)run;
        (void)n;
        return a[0].inner ? a[0] : a[1];
}

static const struct cel_row rows[] = {
                {"optional.of", 0, "(V) -> optional(V)", of, NULL, NULL, NULL},
                {"optional.ofNonZeroValue", 0, "(V) -> optional(V)", of_non_zero, NULL, NULL, NULL},
                {"optional.none", 0, "() -> optional(V)", none, NULL, NULL, NULL},
                {"hasValue", CEL_MEMBER, "(optional(V)) -> bool", has_value, NULL, NULL, NULL},
                {"value", CEL_MEMBER, "(optional(V)) -> V", value, NULL, NULL, NULL},
                {"or", CEL_MEMBER, "(optional(V), optional(V)) -> optional(V)", or_else, NULL, NULL,
                                NULL},
                {"orValue", CEL_MEMBER, "(optional(V), V) -> V", or_else, NULL, NULL, NULL},
};

const struct cel_library cel_library_optional = {
                .name = "optional", .rows = rows, .row_count = ELEMENTS(rows)};
