/* Merge-patch differences. A null in `new` means absent, as everywhere in the API. */
#include "reconcilers/jsondiff.h"

enum { DEPTH_MAX = 100 };

/* The API keeps no zero value in most fields: that it is absent is no difference. */
static bool is_zero(const json_t *v) {
        return (json_is_integer(v) && json_integer_value(v) == 0) || json_is_false(v) ||
               (json_is_string(v) && json_string_length(v) == 0) ||
               (json_is_array(v) && json_array_size(v) == 0);
}

/* *ret_differs: set where there is more than zero values that old lacks. */
static json_t *diff(const json_t *old, const json_t *new, unsigned depth, bool *ret_differs) {
        _cleanup_json_ json_t *d = json_object();
        const char *key;
        json_t *v;

        if (!d || depth > DEPTH_MAX)
                return NULL;
        json_object_foreach ((json_t *)new, key, v) {
                const json_t *was = json_object_get(old, key);
                json_t *inner;

                if (json_is_null(v) || (was && json_equal(was, v)))
                        continue;
                if (!json_is_object(v)) {
                        *ret_differs |= was || !is_zero(v);
                        if (json_object_set(d, key, v) < 0)
                                return NULL;
                        continue;
                }
                *ret_differs |= was && !json_is_object(was);
                inner = diff(json_is_object(was) ? was : NULL, v, depth + 1, ret_differs);
                if (!inner || json_object_set_new(d, key, inner) < 0)
                        return NULL;
        }
        json_object_foreach ((json_t *)old, key, v) {
                const json_t *now = json_object_get(new, key);

                if ((now && !json_is_null(now)) || json_is_null(v))
                        continue;
                *ret_differs = true;
                if (json_object_set_new(d, key, json_null()) < 0)
                        return NULL;
        }
        return TAKE_PTR(d);
}

json_t *json_merge_diff(const json_t *old, const json_t *new) {
        bool differs = false;
        json_t *d = diff(json_is_object(old) ? old : NULL, new, 0, &differs);

        if (d && !differs)
                json_object_clear(d);
        return d;
}
