/* Protobuf encoding for the hot answers (developers.google.com/protocol-buffers/docs/encoding), and
 * the arena for requests. */
#include "kstored/state/wire.h"

struct arena_block {
        struct arena_block *next;
        size_t size;
        char data[] __attribute__((aligned(16)));
};

enum { ARENA_BLOCK_SIZE = 64 * 1024 };

void *arena_alloc(struct arena *a, size_t n) {
        size_t size = (n + 15) & ~(size_t)15;
        struct arena_block *b = a->blocks;
        void *p;

        if (size < n)
                return NULL;
        if (!b || b->size - a->used < size) {
                size_t want = MAX(size, (size_t)ARENA_BLOCK_SIZE);

                b = malloc(sizeof(*b) + want);
                if (!b)
                        return NULL;
                b->size = want;
                b->next = a->blocks;
                a->blocks = b;
                a->used = 0;
        }
        p = b->data + a->used;
        a->used += size;
        return p;
}

static void *allocate(void *data, size_t n) {
        return arena_alloc(data, n);
}

static void release(void *data, void *p) {
}

void arena_init(struct arena *a) {
        *a = (struct arena){.allocator = {.alloc = allocate, .free = release}};
        a->allocator.allocator_data = a;
}

void arena_reset(struct arena *a) {
        while (a->blocks && (a->blocks->next || a->blocks->size > ARENA_BLOCK_SIZE)) {
                struct arena_block *b = a->blocks;

                a->blocks = b->next;
                free(b);
        }
        a->used = 0;
}

void arena_done(struct arena *a) {
        while (a->blocks) {
                struct arena_block *b = a->blocks;

                a->blocks = b->next;
                free(b);
        }
}

size_t wire_varint_size(uint64_t v) {
        size_t n = 1;

        while (v >= 0x80) {
                v >>= 7;
                n++;
        }
        return n;
}

enum { VARINT_SIZE_MAX = 10 };

static size_t varint_put(uint8_t *to, uint64_t v) {
        size_t n = 0;

        while (v >= 0x80) {
                to[n++] = (uint8_t)(v | 0x80);
                v >>= 7;
        }
        to[n++] = (uint8_t)v;
        return n;
}

void wire_varint(struct buf *b, uint64_t v) {
        uint8_t bytes[VARINT_SIZE_MAX];

        (void)buf_append(b, bytes, varint_put(bytes, v));
}

void wire_uint(struct buf *b, unsigned field, uint64_t v) {
        uint8_t bytes[2 * VARINT_SIZE_MAX];
        size_t n;

        if (v == 0)
                return;
        n = varint_put(bytes, (uint64_t)field << 3);
        n += varint_put(bytes + n, v);
        (void)buf_append(b, bytes, n);
}

void wire_bool(struct buf *b, unsigned field, bool v) {
        wire_uint(b, field, v ? 1 : 0);
}

void wire_message(struct buf *b, unsigned field, size_t n) {
        uint8_t bytes[2 * VARINT_SIZE_MAX];
        size_t used = varint_put(bytes, (uint64_t)field << 3 | 2);

        used += varint_put(bytes + used, n);
        (void)buf_append(b, bytes, used);
}

void wire_bytes(struct buf *b, unsigned field, const void *data, size_t n) {
        if (n == 0)
                return;
        wire_message(b, field, n);
        (void)buf_append(b, data, n);
}

void wire_string(struct buf *b, unsigned field, const char *s) {
        if (s)
                wire_bytes(b, field, s, strlen(s));
}

size_t wire_begin(struct buf *b, unsigned field) {
        wire_varint(b, (uint64_t)field << 3 | 2);
        (void)buf_append_char(b, 0); /* most lengths fit one byte */
        return b->size;
}

void wire_end(struct buf *b, size_t mark) {
        uint8_t bytes[VARINT_SIZE_MAX];
        size_t n, size;

        if (b->failed)
                return;
        size = b->size - mark;
        n = varint_put(bytes, size);
        if (n > 1) {
                if (buf_append(b, bytes, n - 1) < 0) /* makes room; the content is moved over it */
                        return;
                memmove(b->data + mark + n - 1, b->data + mark, size);
        }
        memcpy(b->data + mark - 1, bytes, n);
}

static size_t uint_size(uint64_t v) {
        return v == 0 ? 0 : 1 + wire_varint_size(v);
}

static size_t bytes_size(size_t n) {
        return n == 0 ? 0 : 1 + wire_varint_size(n) + n;
}

/* A deletion is shown as its key and revision only. */
static int64_t create_shown(const struct row *row) {
        return row->version == 0 ? 0 : row->create;
}

static size_t value_shown(const struct row *row, unsigned flags) {
        return flags & WIRE_KV_NO_VALUE ? 0 : row->value_size;
}

static size_t kv_body_size(const struct row *row, unsigned flags) {
        return bytes_size(row->key_size) + uint_size((uint64_t)create_shown(row)) +
               uint_size((uint64_t)row->rev) + uint_size((uint64_t)row->version) +
               bytes_size(value_shown(row, flags)) + uint_size((uint64_t)row->lease);
}

size_t wire_message_head_size(unsigned field, size_t n) {
        return wire_varint_size((uint64_t)field << 3) + wire_varint_size(n);
}

size_t wire_kv_size(unsigned field, const struct row *row, unsigned flags) {
        size_t n = kv_body_size(row, flags);

        return wire_message_head_size(field, n) + n;
}

static void kv_begin(struct buf *b, unsigned field, const struct row *row, unsigned flags) {
        wire_message(b, field, kv_body_size(row, flags));
        wire_bytes(b, 1, row->data, row->key_size);
        wire_uint(b, 2, (uint64_t)create_shown(row));
        wire_uint(b, 3, (uint64_t)row->rev);
        wire_uint(b, 4, (uint64_t)row->version);
}

void wire_kv(struct buf *b, unsigned field, const struct row *row, unsigned flags) {
        kv_begin(b, field, row, flags);
        wire_bytes(b, 5, row_value(row), value_shown(row, flags));
        wire_uint(b, 6, (uint64_t)row->lease);
}

void wire_kv_edges(struct buf *b, unsigned field, const struct row *row, unsigned flags,
                size_t *ret_before) {
        size_t from = b->size;

        kv_begin(b, field, row, flags);
        if (value_shown(row, flags) > 0)
                wire_message(b, 5, row->value_size);
        *ret_before = b->size - from;
        wire_uint(b, 6, (uint64_t)row->lease);
}

void wire_event(struct buf *b, unsigned field, const struct row *row, const struct row *prev) {
        size_t mark = wire_begin(b, field);

        wire_uint(b, 1, row->version == 0 ? 1 : 0);
        wire_kv(b, 2, row, 0);
        if (prev)
                wire_kv(b, 3, prev, 0);
        wire_end(b, mark);
}
