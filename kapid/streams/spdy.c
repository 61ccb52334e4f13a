/* Frames (section 2.2): a control frame has the bit 1, the version (15 bits), the type (16), flags
 * (8) and the length (24); a data frame the bit 0, the stream (31), flags, length. Header blocks
 * (2.6.10) are one zlib stream for the connection's life in each direction, which begins with the
 * dictionary of the draft: a count, and for each header the lengths and bytes of name and value. */
#include "kapid/streams/spdy.h"

#include <limits.h>
#include <zlib.h>

enum { HEAD_SIZE = 8, VERSION = 3, FLAG_FIN = 1, DICTIONARY_SIZE = 1423, DATA_MAX = 16 << 10 };

enum frame_type {
        SYN_STREAM = 1,
        SYN_REPLY = 2,
        RST_STREAM = 3,
        SETTINGS = 4,
        PING = 6,
        GOAWAY = 7,
        HEADERS = 8,
        WINDOW_UPDATE = 9,
};

/* The dictionary (2.6.10.1): words, each after its length in four bytes, then a text. */
static const char *const dictionary_words[] = {"options", "head", "post", "put", "delete", "trace",
                "accept", "accept-charset", "accept-encoding", "accept-language", "accept-ranges",
                "age", "allow", "authorization", "cache-control", "connection", "content-base",
                "content-encoding", "content-language", "content-length", "content-location",
                "content-md5", "content-range", "content-type", "date", "etag", "expect", "expires",
                "from", "host", "if-match", "if-modified-since", "if-none-match", "if-range",
                "if-unmodified-since", "last-modified", "location", "max-forwards", "pragma",
                "proxy-authenticate", "proxy-authorization", "range", "referer", "retry-after",
                "server", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary",
                "via", "warning", "www-authenticate", "method", "get", "status", "200 OK",
                "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"};
static const char dictionary_text[] =
                "100101201202205206300302303304305306307402405406407408409410411412413414415416417"
                "502504505203 Non-Authoritative Information204 No Content301 Moved Permanently400 "
                "Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 "
                "Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov "
                "Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,"
                "image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
                "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
                "charset=iso-8859-1,utf-,*,enq=0.";

struct stream {
        uint32_t id;
        bool client_ended, we_ended;
};

struct spdy {
        const struct spdy_events *events;
        void *userdata;
        z_stream inflater, deflater;
        bool inflater_made, deflater_made;
        uint8_t dictionary[DICTIONARY_SIZE];
        uint8_t head[HEAD_SIZE];
        size_t head_size;
        struct buf control; /* of the control frame that is read */
        size_t left;        /* bytes of the frame that are still to come */
        uint32_t data_id;   /* of the data frame that is read */
        uint32_t last_id;   /* newest stream of the client */
        struct stream *streams;
        size_t stream_count, stream_room;
        char inflated[SPDY_HEADERS_SIZE_MAX + 1];
        struct buf out;
};

static uint32_t read_u32(const void *data) {
        const uint8_t *p = data;

        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void write_u32(uint8_t *p, uint32_t v) {
        p[0] = v >> 24 & 0xff;
        p[1] = v >> 16 & 0xff;
        p[2] = v >> 8 & 0xff;
        p[3] = v & 0xff;
}

const char *spdy_header(const struct spdy_headers *h, const char *name) {
        for (size_t i = 0; i < h->count; i++)
                if (strcaseeq(h->items[i].name, name))
                        return h->items[i].value;
        return NULL;
}

/* ---- life ---- */

static void make_dictionary(uint8_t *p) {
        uint8_t *end = p + DICTIONARY_SIZE;

        for (size_t i = 0; i < ELEMENTS(dictionary_words); i++) {
                size_t n = strlen(dictionary_words[i]);

                write_u32(p, (uint32_t)n);
                memcpy(p + 4, dictionary_words[i], n);
                p += 4 + n;
        }
        assert((size_t)(end - p) == strlen(dictionary_text));
        memcpy(p, dictionary_text, (size_t)(end - p));
}

int spdy_new(struct spdy **ret, const struct spdy_events *events, void *userdata) {
        _cleanup_(spdy_freep) struct spdy *s = calloc(1, sizeof(*s));

        if (!s)
                return -ENOMEM;
        s->events = events;
        s->userdata = userdata;
        make_dictionary(s->dictionary);
        if (inflateInit(&s->inflater) != Z_OK)
                return -ENOMEM;
        s->inflater_made = true;
        if (deflateInit(&s->deflater, Z_BEST_SPEED) != Z_OK)
                return -ENOMEM;
        s->deflater_made = true;
        if (deflateSetDictionary(&s->deflater, s->dictionary, DICTIONARY_SIZE) != Z_OK)
                return -ENOMEM;
        *ret = TAKE_PTR(s);
        return 0;
}

struct spdy *spdy_free(struct spdy *s) {
        if (!s)
                return NULL;
        if (s->inflater_made)
                (void)inflateEnd(&s->inflater);
        if (s->deflater_made)
                (void)deflateEnd(&s->deflater);
        buf_done(&s->control);
        buf_done(&s->out);
        free(s->streams);
        return mfree(s);
}

struct buf *spdy_output(struct spdy *s) {
        return &s->out;
}

size_t spdy_streams(const struct spdy *s) {
        return s->stream_count;
}

/* ---- the set of streams ---- */

static struct stream *stream_find(struct spdy *s, uint32_t id) {
        for (size_t i = 0; i < s->stream_count; i++)
                if (s->streams[i].id == id)
                        return &s->streams[i];
        return NULL;
}

static void stream_remove(struct spdy *s, struct stream *t) {
        *t = s->streams[--s->stream_count];
}

static int stream_add(struct spdy *s, uint32_t id) {
        if (s->stream_count == s->stream_room) {
                size_t room = MAX(2 * s->stream_room, (size_t)8);
                struct stream *more = reallocarray(s->streams, room, sizeof(*more));

                if (!more)
                        return -ENOMEM;
                s->streams = more;
                s->stream_room = room;
        }
        s->streams[s->stream_count++] = (struct stream){.id = id};
        return 0;
}

/* ---- header blocks ---- */

static int inflate_block(struct spdy *s, const uint8_t *data, size_t n, size_t *ret_size) {
        z_stream *z = &s->inflater;
        int r = Z_OK;

        z->next_in = (Bytef *)data;
        z->avail_in = (uInt)n;
        z->next_out = (Bytef *)s->inflated;
        z->avail_out = SPDY_HEADERS_SIZE_MAX;
        while (z->avail_in > 0) {
                r = inflate(z, Z_SYNC_FLUSH);
                if (r == Z_NEED_DICT) {
                        r = inflateSetDictionary(z, s->dictionary, DICTIONARY_SIZE);
                        if (r != Z_OK)
                                return -EPROTO;
                        continue;
                }
                if (r != Z_OK)
                        return z->avail_out == 0 ? -E2BIG : -EPROTO;
        }
        if (z->avail_out == 0)
                return -E2BIG;
        *ret_size = SPDY_HEADERS_SIZE_MAX - z->avail_out;
        return 0;
}

/* One name or value. The NUL goes to where the next length was, which has been read by then. */
static char *take_text(struct spdy *s, size_t size, size_t *at, uint32_t *ret_next) {
        uint32_t n = *ret_next;
        char *text = s->inflated + *at;

        if (n > size - *at)
                return NULL;
        *at += n;
        *ret_next = 0;
        if (size - *at >= 4) {
                *ret_next = read_u32(s->inflated + *at);
                *at += 4;
        }
        text[n] = 0;
        return text;
}

static int parse_headers(struct spdy *s, size_t size, struct spdy_headers *ret) {
        size_t at = 4;
        uint32_t next = 0;

        *ret = (struct spdy_headers){0};
        if (size < 4)
                return -EPROTO;
        ret->count = read_u32(s->inflated);
        if (ret->count > SPDY_HEADERS_MAX)
                return -E2BIG;
        if (ret->count == 0)
                return 0;
        if (size < 8)
                return -EPROTO;
        next = read_u32(s->inflated + at);
        at += 4;
        for (size_t i = 0; i < ret->count; i++) {
                struct spdy_header *h = &ret->items[i];

                h->name = take_text(s, size, &at, &next);
                if (!h->name || !*h->name)
                        return -EPROTO;
                h->value = take_text(s, size, &at, &next);
                if (!h->value)
                        return -EPROTO;
        }
        return 0;
}

/* Every block must be inflated, also one that nobody wants: the next one refers to it. */
static int read_headers(struct spdy *s, size_t from, struct spdy_headers *ret) {
        size_t size;
        int r;

        if (s->control.size < from)
                return -EPROTO;
        r = inflate_block(
                        s, (const uint8_t *)s->control.data + from, s->control.size - from, &size);
        return r < 0 ? r : parse_headers(s, size, ret);
}

/* ---- frames to send ---- */

static int append_head(struct spdy *s, uint32_t first, uint8_t flags, size_t length) {
        uint8_t head[HEAD_SIZE];

        write_u32(head, first);
        write_u32(head + 4, (uint32_t)flags << 24 | (uint32_t)length);
        return buf_append(&s->out, head, sizeof(head));
}

static uint32_t control_word(enum frame_type type) {
        return UINT32_C(1) << 31 | (uint32_t)VERSION << 16 | type;
}

static int append_control(struct spdy *s, enum frame_type type, const uint32_t *words, size_t n) {
        int r = append_head(s, control_word(type), 0, 4 * n);

        for (size_t i = 0; i < n && r >= 0; i++) {
                uint8_t word[4];

                write_u32(word, words[i]);
                r = buf_append(&s->out, word, sizeof(word));
        }
        return r;
}

int spdy_reply(struct spdy *s, uint32_t id) {
        static const uint8_t none[4];
        uint8_t block[256], word[4];
        z_stream *z = &s->deflater;
        size_t n;
        int r;

        z->next_in = (Bytef *)none; /* a count of 0 */
        z->avail_in = sizeof(none);
        z->next_out = block;
        z->avail_out = sizeof(block);
        if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out == 0)
                return -ENOMEM;
        n = sizeof(block) - z->avail_out;
        r = append_head(s, control_word(SYN_REPLY), 0, 4 + n);
        if (r < 0)
                return r;
        write_u32(word, id);
        r = buf_append(&s->out, word, sizeof(word));
        return r < 0 ? r : buf_append(&s->out, block, n);
}

int spdy_data(struct spdy *s, uint32_t id, const void *data, size_t n) {
        const struct stream *t = stream_find(s, id);
        const char *p = data;

        if (!t || t->we_ended)
                return 0;
        while (n > 0) {
                size_t part = MIN(n, (size_t)DATA_MAX);
                int r = append_head(s, id, 0, part);

                if (r < 0)
                        return r;
                r = buf_append(&s->out, p, part);
                if (r < 0)
                        return r;
                p += part;
                n -= part;
        }
        return 0;
}

int spdy_fin(struct spdy *s, uint32_t id) {
        struct stream *t = stream_find(s, id);

        if (!t || t->we_ended)
                return 0;
        t->we_ended = true;
        if (t->client_ended)
                stream_remove(s, t);
        return append_head(s, id, FLAG_FIN, 0);
}

int spdy_reset(struct spdy *s, uint32_t id, uint32_t status) {
        struct stream *t = stream_find(s, id);

        if (!t)
                return 0;
        stream_remove(s, t);
        return append_control(s, RST_STREAM, (const uint32_t[]){id, status}, 2);
}

int spdy_goaway(struct spdy *s) {
        return append_control(s, GOAWAY, (const uint32_t[]){s->last_id, 0}, 2);
}

/* ---- frames that came ---- */

static int client_ended(struct spdy *s, uint32_t id) {
        struct stream *t = stream_find(s, id);

        if (!t || t->client_ended)
                return 0;
        t->client_ended = true;
        if (t->we_ended)
                stream_remove(s, t);
        return s->events->on_fin(id, s->userdata);
}

static int on_syn_stream(struct spdy *s, uint8_t flags) {
        struct spdy_headers headers;
        uint32_t id;
        int r = read_headers(s, 10, &headers);

        if (r < 0)
                return r;
        id = read_u32(s->control.data) & INT32_MAX;
        /* A client's streams are odd and grow (2.3.2). */
        if (id % 2 == 0 || id <= s->last_id)
                return -EPROTO;
        s->last_id = id;
        if (s->stream_count >= SPDY_STREAMS_MAX)
                return append_control(
                                s, RST_STREAM, (const uint32_t[]){id, SPDY_REFUSED_STREAM}, 2);
        r = stream_add(s, id);
        if (r < 0)
                return r;
        r = s->events->on_stream(id, &headers, s->userdata);
        if (r < 0)
                return r;
        return flags & FLAG_FIN ? client_ended(s, id) : 0;
}

static int on_rst_stream(struct spdy *s) {
        struct stream *t;
        uint32_t id;

        if (s->control.size != 8)
                return -EPROTO;
        id = read_u32(s->control.data) & INT32_MAX;
        t = stream_find(s, id);
        if (!t)
                return 0;
        stream_remove(s, t);
        return s->events->on_reset(id, s->userdata);
}

static int on_ping(struct spdy *s) {
        uint32_t id;

        if (s->control.size != 4)
                return -EPROTO;
        id = read_u32(s->control.data);
        return id % 2 ? append_control(s, PING, &id, 1) : 0;
}

static int on_headers(struct spdy *s, size_t from, uint8_t flags) {
        struct spdy_headers headers;
        int r = read_headers(s, from, &headers);

        if (r < 0)
                return r;
        return flags & FLAG_FIN ? client_ended(s, read_u32(s->control.data) & INT32_MAX) : 0;
}

static int on_control(struct spdy *s) {
        uint16_t type = (uint16_t)(s->head[2] << 8 | s->head[3]);

        switch (type) {
        case SYN_STREAM:
                return on_syn_stream(s, s->head[4]);
        case SYN_REPLY:
        case HEADERS:
                return on_headers(s, 4, s->head[4]);
        case RST_STREAM:
                return on_rst_stream(s);
        case PING:
                return on_ping(s);
        case GOAWAY:
                return s->events->on_goaway(s->userdata);
        default: /* SETTINGS, WINDOW_UPDATE, and what the draft says to ignore (2.2.1) */
                return 0;
        }
}

static int frame_begin(struct spdy *s) {
        uint32_t first = read_u32(s->head);

        s->left = read_u32(s->head + 4) & 0xffffff;
        if (!(first >> 31)) {
                s->data_id = first;
                return first == 0 || first > s->last_id ? -EPROTO : 0;
        }
        if ((first >> 16 & 0x7fff) != VERSION)
                return -EPROTO;
        if (s->left > SPDY_CONTROL_MAX)
                return -E2BIG;
        buf_reset(&s->control);
        return 0;
}

static int frame_end(struct spdy *s) {
        s->head_size = 0;
        if (s->head[0] & 0x80)
                return on_control(s);
        return s->head[4] & FLAG_FIN ? client_ended(s, s->data_id) : 0;
}

/* A part of a frame's payload. */
static int take_payload(struct spdy *s, const char *data, size_t n) {
        const struct stream *t;

        s->left -= n;
        if (s->head[0] & 0x80)
                return buf_append(&s->control, data, n);
        t = stream_find(s, s->data_id);
        /* Data may still come for a stream that was reset here. */
        return !t || t->client_ended ? 0 : s->events->on_data(s->data_id, data, n, s->userdata);
}

int spdy_feed(struct spdy *s, const void *data, size_t n) {
        const char *p = data;
        int r = 0;

        while (n > 0) {
                size_t part;

                if (s->head_size < HEAD_SIZE) {
                        part = MIN(n, HEAD_SIZE - s->head_size);
                        memcpy(s->head + s->head_size, p, part);
                        s->head_size += part;
                        if (s->head_size == HEAD_SIZE)
                                r = frame_begin(s);
                } else {
                        part = MIN(n, s->left);
                        r = take_payload(s, p, part);
                }
                if (r < 0)
                        return r;
                p += part;
                n -= part;
                if (s->head_size == HEAD_SIZE && s->left == 0) {
                        r = frame_end(s);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
}
