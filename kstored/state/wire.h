/* Protobuf written without a library where it is hot: answers are written straight from rows,
 * without a tree of structs in between. Requests are read by protobuf-c into an arena that is
 * emptied in one step. */
#pragma once

#include <protobuf-c/protobuf-c.h>

#include "kstored/mvcc/row.h"
#include "lib/buf.h"

struct arena {
        ProtobufCAllocator allocator; /* give this to ..._unpack() */
        struct arena_block *blocks;
        size_t used;
        size_t total;
};

void arena_init(struct arena *a);
/* Frees all but one block; every message unpacked from it is gone. */
void arena_reset(struct arena *a);
void arena_done(struct arena *a);
void *arena_alloc(struct arena *a, size_t n);

/* Fields with the proto3 rule that zero and empty are not written. */
void wire_varint(struct buf *b, uint64_t v);
void wire_uint(struct buf *b, unsigned field, uint64_t v);
void wire_bool(struct buf *b, unsigned field, bool v);
void wire_bytes(struct buf *b, unsigned field, const void *data, size_t n);
void wire_string(struct buf *b, unsigned field, const char *s);
/* The start of an embedded message of n bytes. */
void wire_message(struct buf *b, unsigned field, size_t n);
size_t wire_varint_size(uint64_t v);
/* The size of that before the bytes. */
enum { WIRE_MESSAGE_HEAD_MAX = 20 };
size_t wire_message_head_size(unsigned field, size_t n);

/* An embedded message of unknown size: begin, write its fields, end (the bytes move to fit the
 * length). */
size_t wire_begin(struct buf *b, unsigned field);
void wire_end(struct buf *b, size_t mark);

/* mvccpb.KeyValue. */
enum wire_kv_flags { WIRE_KV_NO_VALUE = 1 };
void wire_kv(struct buf *b, unsigned field, const struct row *row, unsigned flags);
/* The size that wire_kv() writes. */
size_t wire_kv_size(unsigned field, const struct row *row, unsigned flags);
/* The same without the bytes of the value, which belong after the first ret_before bytes. */
void wire_kv_edges(struct buf *b, unsigned field, const struct row *row, unsigned flags,
                size_t *ret_before);
/* mvccpb.Event; prev may be NULL. */
void wire_event(struct buf *b, unsigned field, const struct row *row, const struct row *prev);
