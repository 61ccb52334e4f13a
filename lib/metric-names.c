/* A set that stops growing. */
#include "lib/metric-names.h"

#include "lib/map.h"

struct metric_names {
        struct map *seen;
        size_t max;
};

int metric_names_new(struct metric_names **ret, size_t max) {
        _cleanup_(metric_names_freep) struct metric_names *n = calloc(1, sizeof(*n));

        if (!n)
                return -ENOMEM;
        n->max = max;
        n->seen = map_new(NULL);
        if (!n->seen)
                return -ENOMEM;
        *ret = TAKE_PTR(n);
        return 0;
}

struct metric_names *metric_names_free(struct metric_names *n) {
        if (!n)
                return NULL;
        map_free(n->seen);
        return mfree(n);
}

const char *metric_name(struct metric_names *n, const char *name) {
        if (map_get(n->seen, name))
                return name;
        if (map_size(n->seen) >= n->max || map_set(n->seen, name, n) < 0)
                return "other";
        return name;
}
