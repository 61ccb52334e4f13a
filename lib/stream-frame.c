/* A frame: its type, the id (three bytes), the payload's size (four bytes, big endian), payload. */
#include "lib/stream-frame.h"

static bool type_is_known(uint8_t type) {
        static const char known[] = {STREAM_REQUEST, STREAM_READY, STREAM_REFUSED, STREAM_STDIN,
                        STREAM_STDIN_END, STREAM_RESIZE, STREAM_STDOUT, STREAM_STDERR, STREAM_EXIT,
                        STREAM_FAILED, STREAM_CREDIT, STREAM_OPEN, STREAM_DATA, STREAM_END,
                        STREAM_RESET};

        return memchr(known, type, sizeof(known)) != NULL;
}

static uint32_t read_u32(const uint8_t *p) {
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

bool stream_frame_is_data(const struct stream_frame *f) {
        return f->type == STREAM_STDIN || f->type == STREAM_STDOUT || f->type == STREAM_STDERR ||
               f->type == STREAM_DATA;
}

int stream_frame_next(const void *data, size_t n, struct stream_frame *ret, size_t *ret_used) {
        const uint8_t *p = data;
        uint32_t size;

        if (n > 0 && !type_is_known(p[0]))
                return -EBADMSG;
        if (n < STREAM_FRAME_HEAD)
                return 0;
        size = read_u32(p + 4);
        if (size > STREAM_FRAME_MAX)
                return -EBADMSG;
        if (n - STREAM_FRAME_HEAD < size)
                return 0;
        *ret = (struct stream_frame){.type = p[0],
                        .id = read_u32(p) & STREAM_ID_MAX,
                        .data = p + STREAM_FRAME_HEAD,
                        .size = size};
        *ret_used = STREAM_FRAME_HEAD + size;
        return 1;
}

int stream_frame_append(struct buf *b, enum stream_frame_type type, uint32_t id, const void *data,
                size_t n) {
        const uint8_t head[STREAM_FRAME_HEAD] = {type, id >> 16 & 0xff, id >> 8 & 0xff, id & 0xff,
                        n >> 24 & 0xff, n >> 16 & 0xff, n >> 8 & 0xff, n & 0xff};
        int r;

        assert(n <= STREAM_FRAME_MAX && id <= STREAM_ID_MAX);
        r = buf_append(b, head, sizeof(head));
        if (r < 0)
                return r;
        return n > 0 ? buf_append(b, data, n) : 0;
}

int stream_frame_append_u32(struct buf *b, enum stream_frame_type type, uint32_t id, uint32_t v) {
        const uint8_t payload[4] = {v >> 24 & 0xff, v >> 16 & 0xff, v >> 8 & 0xff, v & 0xff};

        return stream_frame_append(b, type, id, payload, sizeof(payload));
}

uint16_t stream_frame_u16(const struct stream_frame *f, size_t at) {
        return at + 2 <= f->size ? (uint16_t)(f->data[at] << 8 | f->data[at + 1]) : 0;
}

uint32_t stream_frame_u32(const struct stream_frame *f) {
        return f->size == 4 ? read_u32(f->data) : 0;
}
