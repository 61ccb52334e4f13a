/* A growing byte buffer, and immutable shared bytes. */
#pragma once

#include "lib/base.h"

/* Growable bytes; data is always NUL-terminated once anything was added. Zero-initialise to start.
 * After a failed allocation `failed` stays set and further additions do nothing: check it once. */
struct buf {
        char *data;
        size_t size;
        size_t allocated;
        bool failed;
};

void buf_done(struct buf *b);
/* Empties, keeping the memory. */
void buf_reset(struct buf *b);
/* Room for n more bytes and a NUL: at data + size, for who writes there and then adds to size. */
int buf_reserve(struct buf *b, size_t n);
int buf_append(struct buf *b, const void *data, size_t n);
int buf_append_str(struct buf *b, const char *s);
int buf_append_char(struct buf *b, char c);
/* "[12]": the place of an item in a path. */
int buf_append_index(struct buf *b, size_t i);
int buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);
/* Gives the NUL-terminated contents away ("" when nothing was added); the buffer is empty after it.
 * NULL when an allocation failed. */
char *buf_take(struct buf *b) _warn_unused_;

#define _cleanup_buf_ _cleanup_(buf_done)

/* Immutable bytes shared by reference count (one thread only): one watch event, many watchers. */
struct bytes {
        unsigned refs;
        size_t size;
        char data[];
};

/* Copies n bytes and adds a NUL that size does not count. NULL when out of memory. */
struct bytes *bytes_new(const void *data, size_t n) _warn_unused_;
/* Of n bytes for the caller to fill, and a NUL behind them. NULL when out of memory. */
struct bytes *bytes_alloc(size_t n) _warn_unused_;
struct bytes *bytes_ref(struct bytes *b);
struct bytes *bytes_unref(struct bytes *b);
DEFINE_CLEANUP(struct bytes *, bytes_unref);
#define _cleanup_bytes_ _cleanup_(bytes_unrefp)
