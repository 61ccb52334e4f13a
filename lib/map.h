/* A map from strings to pointers (uthash behind it). Keys are copied; values belong to the caller
 * unless a destructor is given. Order of iteration is order of insertion. Removing the current
 * entry while iterating is allowed. */
#pragma once

#include "lib/base.h"

struct map;
typedef void (*map_free_func)(void *value);

struct map *map_new(map_free_func free_value) _warn_unused_;
struct map *map_free(struct map *m);
DEFINE_CLEANUP(struct map *, map_free);
void *map_get(const struct map *m, const char *key);
/* Sets or replaces (the replaced value is freed by the destructor). 0 or -ENOMEM. */
int map_set(struct map *m, const char *key, void *value);
/* Takes out without freeing; NULL when absent. */
void *map_steal(struct map *m, const char *key);
/* Removes and frees; 1 when it was there. */
int map_remove(struct map *m, const char *key);
size_t map_size(const struct map *m);
void map_clear(struct map *m);

struct map_entry;
struct map_entry *map_first(const struct map *m);
struct map_entry *map_next(const struct map_entry *e);
const char *map_entry_key(const struct map_entry *e);
void *map_entry_value(const struct map_entry *e);
#define map_foreach(m, e) \
        for (struct map_entry *e = map_first(m), *e##_next = e ? map_next(e) : NULL; e; \
                        e = e##_next, e##_next = e ? map_next(e) : NULL)
