/* --sort-by: numbers by value, quantities of Kubernetes too, everything else as text. */
#include "kctl/formats.h"
#include "lib/jsonpath.h"
#include "lib/quantity.h"

struct entry {
        json_t *element;     /* a reference */
        const json_t *value; /* borrowed from it, or NULL */
        size_t place;        /* equal ones keep their order */
};

static int compare_values(const json_t *a, const json_t *b) {
        int order;

        if (!a || !b)
                return (a != NULL) - (b != NULL);
        if (json_is_number(a) && json_is_number(b)) {
                double x = json_number_value(a), y = json_number_value(b);

                return (x > y) - (x < y);
        }
        if (json_is_string(a) && json_is_string(b))
                return quantity_compare(a, b, &order) == 0
                                       ? order
                                       : strcmp(json_string_value(a), json_string_value(b));
        if (json_is_boolean(a) && json_is_boolean(b))
                return json_is_true(a) - json_is_true(b);
        return 0;
}

static int compare_entries(const void *a, const void *b) {
        const struct entry *x = a, *y = b;
        int c = compare_values(x->value, y->value);

        return c ? c : (x->place > y->place) - (x->place < y->place);
}

int sort_by_path(json_t *array, const char *under, const char *path, struct problem *p) {
        _cleanup_(jsonpath_freep) struct jsonpath *parsed = NULL;
        _cleanup_free_ struct entry *entries = NULL;
        size_t n = json_array_size(array), i;
        json_t *element;
        int r = jsonpath_parse(path, &parsed, p);

        if (r < 0) {
                problem_prefix(p, "--sort-by %s", path);
                return r;
        }
        entries = calloc(n + 1, sizeof(*entries));
        if (!entries)
                return -ENOMEM;
        json_array_foreach (array, i, element)
                entries[i] = (struct entry){json_incref(element),
                                jsonpath_first(parsed,
                                                under ? json_object_get(element, under) : element),
                                i};
        qsort(entries, n, sizeof(*entries), compare_entries);
        json_array_clear(array);
        for (i = 0; i < n; i++)
                if (json_array_append_new(array, entries[i].element) < 0)
                        r = -ENOMEM;
        return r;
}
