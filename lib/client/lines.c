/* Lines out of a stream. Every byte is searched once for the end of a line, and lines leave the
 * buffer together, when there is no further one. */
#include "lib/client/lines.h"

enum { KEPT_MAX = 1024 * 1024 };

void lines_drop(struct lines *l) {
        if (l->received.allocated > KEPT_MAX)
                buf_done(&l->received);
        else
                buf_reset(&l->received);
        l->begin = l->scanned = 0;
}

void lines_done(struct lines *l) {
        buf_done(&l->received);
        l->begin = l->scanned = 0;
}

int lines_append(struct lines *l, const char *data, size_t n, size_t size_max) {
        if (l->received.size - l->begin + n > size_max)
                return -EFBIG;
        return buf_append(&l->received, data, n);
}

bool lines_has(struct lines *l) {
        const struct buf *b = &l->received;
        const char *end = b->size > l->scanned
                                          ? memchr(b->data + l->scanned, '\n', b->size - l->scanned)
                                          : NULL;

        if (end) {
                l->scanned = (size_t)(end - b->data);
                return true;
        }
        if (l->begin == b->size)
                lines_drop(l);
        else if (l->begin > 0) {
                buf_consume(&l->received, l->begin);
                l->begin = 0;
        }
        l->scanned = l->received.size;
        return false;
}

const char *lines_take(struct lines *l, size_t *ret_n) {
        const char *line = l->received.data + l->begin;

        assert(l->scanned < l->received.size && l->received.data[l->scanned] == '\n');
        *ret_n = l->scanned - l->begin;
        l->begin = ++l->scanned;
        return line;
}
