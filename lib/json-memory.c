/* Free blocks in a list for each size that malloc() makes of what it is asked for. jansson's
 * functions have no userdata, and other threads use jansson, too: so what is kept belongs to the
 * thread, and is nothing where it was not asked for. */
#include "lib/json-memory.h"

#include <jansson.h>
#include <malloc.h>

/* glibc's malloc: usable sizes of 24, 40, 56, ... */
enum { STEP = 16, FIRST = 24, CLASSES = 32, KEEP_BYTES = 192 * 1024 };

struct free_block {
        struct free_block *next;
};

struct kept {
        bool on;
        struct free_block *first[CLASSES];
        unsigned count[CLASSES];
};

static _Thread_local struct kept kept;

static void *take(size_t n) {
        size_t class = n <= FIRST ? 0 : (n - FIRST + STEP - 1) / STEP;
        struct free_block *b;

        if (class >= CLASSES || !(b = kept.first[class]))
                return malloc(n);
        kept.first[class] = b->next;
        kept.count[class]--;
        return b;
}

static void give(void *p) {
        struct free_block *b = p;
        size_t size, class;

        if (!kept.on || !b) {
                free(p);
                return;
        }
        size = malloc_usable_size(p);
        class = (size - FIRST) / STEP;
        if (size < FIRST || class >= CLASSES || kept.count[class] >= KEEP_BYTES / size) {
                free(p);
                return;
        }
        b->next = kept.first[class];
        kept.first[class] = b;
        kept.count[class]++;
}

void json_memory_keep(void) {
        if (MEMORY_IS_CHECKED || kept.on)
                return;
        kept.on = true;
        json_set_alloc_funcs(take, give);
}

void json_memory_drop(void) {
        for (size_t i = 0; i < CLASSES; i++) {
                struct free_block *b;

                while ((b = kept.first[i])) {
                        kept.first[i] = b->next;
                        free(b);
                }
                kept.count[i] = 0;
        }
}
