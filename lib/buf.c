/* Growable bytes by doubling; shared bytes in one allocation. */
#include "lib/buf.h"

#include <stdarg.h>

enum { DIGITS_MAX = 20 };

void buf_done(struct buf *b) {
        free(b->data);
        *b = (struct buf){0};
}

void buf_reset(struct buf *b) {
        b->size = 0;
        b->failed = false;
        if (b->data)
                b->data[0] = 0;
}

int buf_reserve(struct buf *b, size_t n) {
        size_t need, size = MAX(b->allocated, (size_t)64);

        if (b->failed || __builtin_add_overflow(b->size, n, &need) ||
                        __builtin_add_overflow(need, 1, &need))
                goto fail;
        if (need <= b->allocated)
                return 0;
        while (size < need)
                if (__builtin_mul_overflow(size, 2, &size))
                        goto fail;
        char *data = realloc(b->data, size);
        if (!data)
                goto fail;
        b->data = data;
        b->allocated = size;
        return 0;
fail:
        b->failed = true;
        return -ENOMEM;
}

/* The same without a call where there is room. A failed buffer has none. */
static inline int room(struct buf *b, size_t n) {
        return !b->failed && n < b->allocated - b->size ? 0 : buf_reserve(b, n);
}

int buf_append(struct buf *b, const void *data, size_t n) {
        int r = room(b, n);

        if (r < 0)
                return r;
        if (n > 0)
                memcpy(b->data + b->size, data, n);
        b->size += n;
        b->data[b->size] = 0;
        return 0;
}

int buf_append_str(struct buf *b, const char *s) {
        return buf_append(b, s, strlen(s));
}

int buf_append_char(struct buf *b, char c) {
        int r = room(b, 1);

        if (r < 0)
                return r;
        b->data[b->size++] = c;
        b->data[b->size] = 0;
        return 0;
}

int buf_append_index(struct buf *b, size_t i) {
        char text[DIGITS_MAX + 2], *end = text + sizeof(text), *at = end;

        *--at = ']';
        do
                *--at = (char)('0' + i % 10);
        while ((i /= 10) > 0);
        *--at = '[';
        return buf_append(b, at, (size_t)(end - at));
}

int buf_printf(struct buf *b, const char *fmt, ...) {
        va_list ap, again;
        int r;

        va_start(ap, fmt);
        va_copy(again, ap);
        int n = vsnprintf(NULL, 0, fmt, ap);
        va_end(ap);
        r = n < 0 ? -EINVAL : buf_reserve(b, (size_t)n);
        if (r == 0) {
                vsnprintf(b->data + b->size, (size_t)n + 1, fmt, again);
                b->size += (size_t)n;
        }
        va_end(again);
        return r;
}

void buf_consume(struct buf *b, size_t n) {
        assert(n <= b->size);
        if (n == 0)
                return;
        memmove(b->data, b->data + n, b->size - n + 1);
        b->size -= n;
}

char *buf_take(struct buf *b) {
        if (!b->data && !b->failed)
                (void)buf_append(b, "", 0);
        if (b->failed) {
                buf_done(b);
                return NULL;
        }
        char *data = b->data;
        *b = (struct buf){0};
        return data;
}

struct bytes *bytes_alloc(size_t n) {
        struct bytes *b;
        size_t size;

        if (__builtin_add_overflow(sizeof(*b) + 1, n, &size))
                return NULL;
        b = malloc(size);
        if (!b)
                return NULL;
        b->refs = 1;
        b->size = n;
        b->data[n] = 0;
        return b;
}

struct bytes *bytes_new(const void *data, size_t n) {
        struct bytes *b = bytes_alloc(n);

        if (b && n > 0)
                memcpy(b->data, data, n);
        return b;
}

struct bytes *bytes_ref(struct bytes *b) {
        if (b)
                b->refs++;
        return b;
}

struct bytes *bytes_unref(struct bytes *b) {
        if (b && --b->refs == 0)
                free(b);
        return NULL;
}
