/* Writing protobuf into a buffer; b->failed tells when memory ran out. */
#pragma once

#include "lib/buf.h"

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* Room for n bytes more, or b->failed; most often there is. */
static inline bool has_room(struct buf *b, size_t n) {
        if (b->allocated - b->size > n)
                return true;
        if (b->failed)
                return false;
        _cleanup_free_ char *zeros = calloc(1, n);
        if (!zeros || buf_append(b, zeros, n) < 0) {
                b->failed = true;
                return false;
        }
        b->size -= n;
        return true;
}

static inline void put_varint(struct buf *b, uint64_t v) {
        char *at;

        if (!has_room(b, 10))
                return;
        at = b->data + b->size;
        for (; v >= 0x80; v >>= 7)
                *at++ = (char)(v | 0x80);
        *at++ = (char)v;
        b->size = (size_t)(at - b->data);
}

static inline void put_tag(struct buf *b, unsigned number, unsigned wire) {
        put_varint(b, (uint64_t)number << 3 | wire);
}

static inline size_t open_message(struct buf *b) {
        put_varint(b, 0);
        return b->size;
}

/* Writes the length of what came since; the number of bytes by which it moved. */
static inline size_t close_message(struct buf *b, size_t start) {
        size_t size = b->failed ? 0 : b->size - start, more = 0;

        if (b->failed)
                return 0;
        for (size_t n = size >> 7; n > 0; n >>= 7)
                more++;
        if (more > 0) {
                buf_append(b, "\0\0\0\0\0\0\0\0\0", more);
                if (b->failed)
                        return 0;
                memmove(b->data + start + more, b->data + start, size);
        }
        for (size_t i = 0; i <= more; i++, size >>= 7)
                b->data[start - 1 + i] = (char)((size & 0x7f) | (i < more ? 0x80 : 0));
        return more;
}

static inline void put_bytes(struct buf *b, unsigned number, const void *data, size_t n) {
        put_tag(b, number, WIRE_BYTES);
        put_varint(b, n);
        buf_append(b, data, n);
}
