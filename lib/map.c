/* String map over uthash. */
#include "lib/map.h"

#define uthash_fatal(msg) abort()
#include <uthash.h>

struct map_entry {
        UT_hash_handle hh;
        void *value;
        char key[];
};

struct map {
        struct map_entry *entries;
        map_free_func free_value;
};

struct map *map_new(map_free_func free_value) {
        struct map *m = calloc(1, sizeof(*m));

        if (m)
                m->free_value = free_value;
        return m;
}

void map_clear(struct map *m) {
        struct map_entry *e, *next;

        HASH_ITER(hh, m->entries, e, next) {
                HASH_DEL(m->entries, e);
                if (m->free_value)
                        m->free_value(e->value);
                free(e);
        }
}

struct map *map_free(struct map *m) {
        if (m) {
                map_clear(m);
                free(m);
        }
        return NULL;
}

static struct map_entry *map_find(const struct map *m, const char *key) {
        struct map_entry *e;

        HASH_FIND(hh, m->entries, key, strlen(key), e);
        return e;
}

void *map_get(const struct map *m, const char *key) {
        struct map_entry *e = map_find(m, key);

        return e ? e->value : NULL;
}

int map_set(struct map *m, const char *key, void *value) {
        struct map_entry *e = map_find(m, key);
        size_t n = strlen(key);

        if (e) {
                void *old = e->value;

                e->value = value;
                if (m->free_value && old != value)
                        m->free_value(old);
                return 0;
        }
        e = malloc(sizeof(*e) + n + 1);
        if (!e)
                return -ENOMEM;
        e->value = value;
        memcpy(e->key, key, n + 1);
        HASH_ADD_KEYPTR(hh, m->entries, e->key, n, e);
        return 0;
}

void *map_steal(struct map *m, const char *key) {
        struct map_entry *e = map_find(m, key);
        void *value;

        if (!e)
                return NULL;
        value = e->value;
        HASH_DEL(m->entries, e);
        free(e);
        return value;
}

int map_remove(struct map *m, const char *key) {
        struct map_entry *e = map_find(m, key);

        if (!e)
                return 0;
        HASH_DEL(m->entries, e);
        if (m->free_value)
                m->free_value(e->value);
        free(e);
        return 1;
}

size_t map_size(const struct map *m) {
        return HASH_COUNT(m->entries);
}

struct map_entry *map_first(const struct map *m) {
        return m->entries;
}

struct map_entry *map_next(const struct map_entry *e) {
        return e->hh.next;
}

const char *map_entry_key(const struct map_entry *e) {
        return e->key;
}

void *map_entry_value(const struct map_entry *e) {
        return e->value;
}
