/* Memory that is freed at once, in chunks that grow. */
#include "kapid/cel/arena.h"

enum { CHUNK_SMALL = 2048, CHUNK_LARGE = 64 * 1024, ALIGNMENT = 16 };

struct cel_chunk {
        struct cel_chunk *next;
        size_t size;
        _Alignas(ALIGNMENT) char data[];
};

void *cel_arena_alloc(struct cel_arena *a, size_t n) {
        if (n > SIZE_MAX / 2)
                return NULL;
        n = (MAX(n, (size_t)1) + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
        if (n > a->left) {
                size_t size = MAX(n, a->chunks ? (size_t)CHUNK_LARGE : (size_t)CHUNK_SMALL);
                struct cel_chunk *c;

                if (a->most > 0 && (size > a->most || a->total > a->most - size))
                        return NULL;
                c = malloc(sizeof(*c) + size);
                if (!c)
                        return NULL;
                *c = (struct cel_chunk){.next = a->chunks, .size = size};
                a->chunks = c;
                a->total += size;
                a->at = c->data;
                a->left = size;
        }

        void *p = a->at;

        a->at += n;
        a->left -= n;
        return p;
}

void cel_arena_back(struct cel_arena *a, const struct cel_arena *mark) {
        while (a->chunks != mark->chunks) {
                struct cel_chunk *next = a->chunks->next;

                free(a->chunks);
                a->chunks = next;
        }
        *a = *mark;
}

void cel_arena_done(struct cel_arena *a) {
        const struct cel_arena empty = {.most = a->most};

        cel_arena_back(a, &empty);
}
