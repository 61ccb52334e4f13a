/* Growth of vectors: doubling, with every product checked. */
#include "lib/vector.h"

enum { START = 4 };

void *vector_grown(void *items, size_t *allocated, size_t count, size_t size) {
        size_t wanted;
        void *grown;

        assert(size > 0);
        if (count <= *allocated)
                return items;
        wanted = MAX(count, (size_t)START);
        if (*allocated <= SIZE_MAX / 2)
                wanted = MAX(wanted, *allocated * 2);
        if (wanted > PTRDIFF_MAX / size)
                return NULL;
        grown = reallocarray(items, wanted, size);
        if (!grown)
                return NULL;
        *allocated = wanted;
        return grown;
}
