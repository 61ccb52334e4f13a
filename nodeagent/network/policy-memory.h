/* Memory for the pure files of network policies: without any the program ends, and the next one
 * starts from what the kernel and the disk have. */
#pragma once

#include "lib/map.h"

static inline void must(int r) {
        assert(r >= 0);
}

static inline void *must_alloc(size_t size) {
        void *p = calloc(1, size);

        assert(p);
        return p;
}

static inline char *must_copy(const char *text) {
        char *copy = strdup(text);

        assert(copy);
        return copy;
}

static inline struct map *must_map(map_free_func free_value) {
        struct map *m = map_new(free_value);

        assert(m);
        return m;
}

/* The first part of "namespace/..."; caller frees. */
static inline char *must_namespace(const char *key) {
        char *ns = strndup(key, strcspn(key, "/"));

        assert(ns);
        return ns;
}

/* Users of a name, in a map with the destructor free(). */
struct counter {
        unsigned users;
};

/* Counts one more; whether it is the first. */
static inline bool counter_up(struct map *counters, const char *name) {
        struct counter *c = map_get(counters, name);

        if (!c) {
                c = (struct counter *)must_alloc(sizeof(*c));
                must(map_set(counters, name, c));
        }
        return c->users++ == 0;
}

/* Whether it was the last; the counter is gone then. */
static inline bool counter_down(struct map *counters, const char *name) {
        struct counter *c = map_get(counters, name);

        assert(c && c->users > 0);
        return --c->users == 0 && map_remove(counters, name) == 1;
}
