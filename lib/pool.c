/* Free blocks in a list for each size, in steps of 32 bytes. Every block begins with its size
 * class, so that it can be freed without the size. More than KEEP_BYTES in
 * one list, or large, goes back to the C library. */
#include "lib/pool.h"

enum { STEP = 32, CLASSES = 40, KEEP_BYTES = 512 * 1024 };

struct block {
        union {
                struct block *next; /* free */
                size_t size;        /* large: without this head */
        };
        uint32_t class; /* CLASSES: large */
        char data[] __attribute__((aligned(16)));
};

struct pool {
        unsigned refs;
        struct block *free[CLASSES];
        unsigned count[CLASSES];
};

int pool_new(struct pool **ret) {
        struct pool *p = calloc(1, sizeof(*p));

        if (!p)
                return -ENOMEM;
        p->refs = 1;
        *ret = p;
        return 0;
}

struct pool *pool_ref(struct pool *p) {
        p->refs++;
        return p;
}

void pool_drop(struct pool *p) {
        for (size_t i = 0; i < CLASSES; i++) {
                while (p->free[i]) {
                        struct block *b = p->free[i];

                        p->free[i] = b->next;
                        free(b);
                }
                p->count[i] = 0;
        }
}

struct pool *pool_unref(struct pool *p) {
        if (!p || --p->refs > 0)
                return NULL;
        pool_drop(p);
        return mfree(p);
}

static size_t class_of(size_t n) {
        return n > (size_t)STEP * CLASSES ? CLASSES : n == 0 ? 0 : (n - 1) / STEP;
}

static size_t room(const struct block *b) {
        return b->class == CLASSES ? b->size : ((size_t)b->class + 1) * STEP;
}

void *pool_alloc(struct pool *p, size_t n) {
        size_t class = class_of(n), size;
        struct block *b;

        if (class < CLASSES && p->free[class]) {
                b = p->free[class];
                p->free[class] = b->next;
                p->count[class]--;
                return b->data;
        }
        size = class < CLASSES ? (class + 1) * STEP : n;
        b = size <= SIZE_MAX - sizeof(*b) ? malloc(sizeof(*b) + size) : NULL;
        if (!b)
                return NULL;
        b->size = size;
        b->class = (uint32_t) class;
        return b->data;
}

void *pool_zalloc(struct pool *p, size_t n) {
        void *block = pool_alloc(p, n);

        return block ? memset(block, 0, n) : NULL;
}

void pool_free(struct pool *p, void *block) {
        struct block *b;

        if (!block)
                return;
        b = container_of(block, struct block, data);
        if (MEMORY_IS_CHECKED || b->class == CLASSES ||
                        (size_t)p->count[b->class] * room(b) >= KEEP_BYTES) {
                free(b);
                return;
        }
        b->next = p->free[b->class];
        p->free[b->class] = b;
        p->count[b->class]++;
}

void *pool_realloc(struct pool *p, void *block, size_t n) {
        struct block *b = block ? container_of(block, struct block, data) : NULL;
        void *fresh;

        if (b && b->class < CLASSES && n <= room(b))
                return block;
        fresh = pool_alloc(p, n);
        if (!fresh || !b)
                return fresh;
        memcpy(fresh, block, MIN(room(b), n));
        pool_free(p, block);
        return fresh;
}
