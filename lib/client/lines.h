/* Lines out of a stream that arrives in pieces. Zero-initialise to start. */
#pragma once

#include "lib/buf.h"

struct lines {
        struct buf received; /* lines from `begin` on; none ends before `scanned` */
        size_t begin, scanned;
};

/* Forgets everything; the memory of a huge line is released. */
void lines_drop(struct lines *l);
void lines_done(struct lines *l);
/* -EFBIG when more than size_max bytes would wait. */
int lines_append(struct lines *l, const char *data, size_t n, size_t size_max);
/* Whether a whole line is there; what was taken before leaves the buffer when not. */
bool lines_has(struct lines *l);
/* The next line, without its end; lines_has() has said that there is one. Borrowed until the next
 * call. */
const char *lines_take(struct lines *l, size_t *ret_n);
