/* Chunks are cut from the front; each block's size is its owner's to remember. */
#include "kstored/mvcc/slab.h"

enum { CHUNK_MIN = 1024, CHUNK_MAX = 64 * 1024 };

struct slab_chunk {
        struct slab_chunk *next;
        char data[];
};

struct slab_free {
        struct slab_free *next;
};

static size_t class_of(size_t n) {
        return n == 0 ? 0 : (n - 1) / SLAB_STEP;
}

static bool is_large(size_t class) {
        return MEMORY_IS_CHECKED || class >= SLAB_CLASSES;
}

static void push(struct slab *s, void *block, size_t class) {
        struct slab_free *f = block;

        f->next = s->free[class];
        s->free[class] = f;
}

static int new_chunk(struct slab *s) {
        size_t size = s->chunk_size ? MIN(s->chunk_size * 2, (size_t)CHUNK_MAX) : CHUNK_MIN;
        struct slab_chunk *c = malloc(size);

        if (!c)
                return -ENOMEM;
        /* The rest of the old one is smaller than what did not fit. */
        if (s->left > 0)
                push(s, s->next, s->left / SLAB_STEP - 1);
        c->next = s->chunks;
        s->chunks = c;
        s->chunk_size = size;
        s->next = c->data;
        s->left = size - sizeof(*c);
        return 0;
}

void *slab_alloc(struct slab *s, size_t n) {
        size_t class = class_of(n), size = (class + 1) * SLAB_STEP;
        void *block;

        if (is_large(class))
                return malloc(n);
        if (s->free[class]) {
                block = s->free[class];
                s->free[class] = s->free[class]->next;
                return block;
        }
        if (s->left < size && new_chunk(s) < 0)
                return NULL;
        block = s->next;
        s->next += size;
        s->left -= size;
        return block;
}

void slab_give_back(struct slab *s, void *block, size_t n) {
        size_t class = class_of(n);

        if (is_large(class))
                free(block);
        else
                push(s, block, class);
}

void slab_done(struct slab *s) {
        while (s->chunks) {
                struct slab_chunk *c = s->chunks;

                s->chunks = c->next;
                free(c);
        }
        *s = (struct slab){0};
}
