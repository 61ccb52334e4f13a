/* A cache of small blocks of memory that are taken and given back many thousand times a second, a
 * thousand at once: the C library would look for a fitting piece each time. One thread. */
#pragma once

#include "lib/base.h"

struct pool;

int pool_new(struct pool **ret);
struct pool *pool_ref(struct pool *p);
/* The last one frees the blocks that nobody holds. */
struct pool *pool_unref(struct pool *p);
/* Frees the blocks that nobody holds. */
void pool_drop(struct pool *p);

/* As malloc(), calloc(), realloc() and free(), on blocks of this pool. */
void *pool_alloc(struct pool *p, size_t n);
void *pool_zalloc(struct pool *p, size_t n);
void *pool_realloc(struct pool *p, void *block, size_t n);
void pool_free(struct pool *p, void *block);
