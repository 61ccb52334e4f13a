/* Objects as protobuf messages (docs/wire.md section 4): from JSON text, without the envelope that
 * goes around a whole answer (kapid/pipeline/encode.h). The other way is protobuf_decode(). */
#pragma once

#include "kapid/schema/schema.h"
#include "lib/buf.h"

/* Appends the message of an object's JSON text. -EINVAL: it is no object of that schema, -ENOMEM;
 * what was appended then is of no use. */
int protobuf_encode(struct buf *b, const struct schema *s, const char *text, size_t n);

/* Single fields; b->failed tells when memory ran out. */
void protobuf_put_number(struct buf *b, unsigned number, uint64_t v);
void protobuf_put_bytes(struct buf *b, unsigned number, const void *data, size_t n);
/* What stands before n bytes that follow. */
void protobuf_put_head(struct buf *b, unsigned number, size_t n);
/* A message whose length is not known yet: what comes until protobuf_close(), which takes what
 * protobuf_open() gave, is in it. */
size_t protobuf_open(struct buf *b, unsigned number);
void protobuf_close(struct buf *b, size_t start);
