/* Memory for a great many small things that live long: no heads, no rounding worth mentioning, and
 * apart from short-lived memory, which would leave holes between them. Freed memory serves the
 * next of its size; the whole goes at once. */
#pragma once

#include "lib/base.h"

enum { SLAB_STEP = 8, SLAB_CLASSES = 32 }; /* larger than STEP * CLASSES: the C library's */

struct slab {
        struct slab_chunk *chunks;
        char *next; /* what is left of the newest chunk */
        size_t left;
        size_t chunk_size;
        struct slab_free *free[SLAB_CLASSES];
};

/* A slab of zeros is empty. Blocks are aligned to SLAB_STEP. */
void *slab_alloc(struct slab *s, size_t n);
void slab_give_back(struct slab *s, void *block, size_t n); /* n: as it was taken */
/* Every block dies, but larger ones must have been given back. */
void slab_done(struct slab *s);
