/* Memory that is freed at once: of types, of programs, of one evaluation. Bounded. */
#pragma once

#include "lib/base.h"

struct cel_chunk;
struct cel_arena {
        struct cel_chunk *chunks;
        char *at;
        size_t left;        /* in the newest chunk */
        size_t total, most; /* bytes taken so far; most 0: no bound */
};

/* Aligned, not zeroed; NULL when out of memory or beyond the bound. */
void *cel_arena_alloc(struct cel_arena *a, size_t n) _warn_unused_;
void cel_arena_done(struct cel_arena *a);
/* Frees what was taken since the mark, a copy of the struct at that time. */
void cel_arena_back(struct cel_arena *a, const struct cel_arena *mark);
