/* Rows of the revision table in memory. */
#include "kstored/mvcc/row.h"

#include <endian.h>

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

/* Multiply and fold, eight bytes at a time: each bit in changes about half of those out, which sums
 * need to be worth something. */
static uint64_t mix(uint64_t h, uint64_t v) {
        h = (h ^ v) * 0x9fb21c651e98df25;
        return (h ^ h >> 29) * 0xd6e8feb86659fd93;
}

static uint64_t mix_bytes(uint64_t h, const void *data, size_t n) {
        const uint8_t *p = data;
        uint64_t v;

        for (; n >= sizeof(v); p += sizeof(v), n -= sizeof(v)) {
                memcpy(&v, p, sizeof(v));
                h = mix(h, le64toh(v));
        }
        v = 0;
        if (n > 0)
                memcpy(&v, p, n);
        h = mix(h, le64toh(v));
        return h ^ h >> 32;
}

uint64_t row_hash(const struct row *r, const void *key, const void *value) {
        uint64_t h = mix((uint64_t)r->key_size << 32 | r->value_size, (uint64_t)r->rev);

        h = mix(h, (uint64_t)r->create);
        h = mix(h, (uint64_t)r->version);
        h = mix(h, (uint64_t)r->lease);
        return mix_bytes(mix_bytes(h, key, r->key_size), value, r->value_size);
}
