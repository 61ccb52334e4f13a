/* Merge-patch differences. A null in `new` means absent, as everywhere in the API. */
#include "reconcilers/jsondiff.h"

enum { DEPTH_MAX = 100 };

static json_t *diff(const json_t *old, const json_t *new, unsigned depth) {
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
                        if (json_object_set(d, key, v) < 0)
                                return NULL;
                        continue;
                }
                inner = diff(json_is_object(was) ? was : NULL, v, depth + 1);
                if (!inner || json_object_set_new(d, key, inner) < 0)
                        return NULL;
        }
        json_object_foreach ((json_t *)old, key, v) {
                const json_t *now = json_object_get(new, key);

                if ((!now || json_is_null(now)) && !json_is_null(v) &&
                                json_object_set_new(d, key, json_null()) < 0)
                        return NULL;
        }
        return TAKE_PTR(d);
}

json_t *json_merge_diff(const json_t *old, const json_t *new) {
        return diff(json_is_object(old) ? old : NULL, new, 0);
}
