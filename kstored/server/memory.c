/* Memory freed by slow clients or large changes is scattered among memory in use: it is returned
 * to the system once it is much. */
#include "kstored/server/memory.h"

#include <malloc.h>

#include "kstored/server/server.h"

enum { TRIM_MS = 2000, TRIM_BYTES = 8 << 20 };

struct memory {
        uint64_t next_trim_ms;
};

static void second(struct server *s, void *state, uint64_t now_ms) {
        struct memory *x = state;

        if (now_ms < x->next_trim_ms)
                return;
        x->next_trim_ms = now_ms + TRIM_MS;
        if (mallinfo2().fordblks >= TRIM_BYTES)
                (void)malloc_trim(TRIM_BYTES / 4);
}

const struct server_part memory_part = {
                .name = "memory", .size = sizeof(struct memory), .second = second};
