/* Rows of the revision table in memory. */
#include "kstored/row.h"

struct row *row_new(const void *key, size_t key_size, const void *value, size_t value_size) {
        struct row *r = malloc(sizeof(*r) + key_size + value_size);

        if (!r)
                return NULL;
        *r = (struct row){.refs = 1,
                        .key_size = (uint32_t)key_size,
                        .value_size = (uint32_t)value_size};
        if (key_size > 0)
                memcpy(r->data, key, key_size);
        if (value_size > 0)
                memcpy(r->data + key_size, value, value_size);
        return r;
}

struct row *row_ref(struct row *r) {
        r->refs++;
        return r;
}

struct row *row_unref(struct row *r) {
        if (r && --r->refs == 0)
                free(r);
        return NULL;
}
