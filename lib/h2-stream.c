/* Streams of gRPC over HTTP/2: a ring of shared messages that nghttp2 takes as it may send, and the
 * submission of headers. */
#include "lib/h2.h"

#include "lib/h2-internal.h"

enum { PREFIX_SIZE = 5, RING_KEPT = 64 };

void h2_stream_link(struct h2_stream *s, struct h2_connection *c, int32_t id) {
        s->connection = c;
        s->id = id;
        s->link = &c->streams;
        s->next = c->streams;
        if (s->next)
                s->next->link = &s->next;
        c->streams = s;
        c->stream_count++;
}

static void drained_unlink(struct h2_stream *s) {
        if (!s->drained_link)
                return;
        *s->drained_link = s->drained_next;
        if (s->drained_next)
                s->drained_next->drained_link = s->drained_link;
        s->drained_link = NULL;
}

static void drained_note(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (s->drained_link)
                return;
        s->drained_next = c->drained;
        s->drained_link = &c->drained;
        if (s->drained_next)
                s->drained_next->drained_link = &s->drained_next;
        c->drained = s;
}

static void account(struct h2_stream *s, size_t less) {
        s->queued -= less;
        if (s->connection)
                s->connection->queued -= less;
}

/* What stands before each message. */
static size_t prefix_size(const struct h2_stream *s) {
        return s->raw ? 0 : PREFIX_SIZE;
}

static void pop(struct h2_stream *s) {
        bytes_unref(s->ring[s->head]);
        s->head = (s->head + 1) % s->ring_size;
        s->count--;
        s->offset = 0;
        if (s->count == 0 && s->ring_size > RING_KEPT) {
                free(s->ring);
                s->ring = NULL;
                s->ring_size = s->head = 0;
        }
}

void h2_stream_done(struct h2_stream *s) {
        assert(!s->link);
        drained_unlink(s);
        account(s, s->queued);
        while (s->count > 0)
                pop(s);
        if (s->ring != s->few)
                free(s->ring);
        if (s->connection)
                s->connection->partial_size -= s->message.size;
        buf_done(&s->message);
}

static int push(struct h2_stream *s, struct bytes *message) {
        if (!s->ring) {
                s->ring = s->few;
                s->ring_size = ELEMENTS(s->few);
        } else if (s->count == s->ring_size) {
                size_t size = 2 * s->ring_size;
                struct bytes **ring = reallocarray(NULL, size, sizeof(*ring));

                if (!ring)
                        return -ENOMEM;
                for (size_t i = 0; i < s->count; i++)
                        ring[i] = s->ring[(s->head + i) % s->ring_size];
                if (s->ring != s->few)
                        free(s->ring);
                s->ring = ring;
                s->ring_size = size;
                s->head = 0;
        }
        s->ring[(s->head + s->count++) % s->ring_size] = bytes_ref(message);
        return 0;
}

static void resume(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (!c || c->state != H2_OPEN)
                return;
        if (s->waits)
                (void)nghttp2_session_resume_data(c->session, s->id);
        s->waits = false;
        h2_connection_dirty(c);
}

int h2_stream_send(struct h2_stream *s, struct bytes *message) {
        int r;

        assert(!s->ending);
        if (message->size > UINT32_MAX)
                return -EMSGSIZE;
        if (s->count > 0 && s->queued + message->size > H2_QUEUED_MAX)
                return -ENOBUFS;
        r = push(s, message);
        if (r < 0)
                return r;
        s->queued += prefix_size(s) + message->size;
        if (s->connection)
                s->connection->queued += prefix_size(s) + message->size;
        resume(s);
        return 0;
}

void h2_stream_set_raw(struct h2_stream *s) {
        assert(s->count == 0);
        s->raw = true;
}

void h2_stream_end(struct h2_stream *s) {
        s->ending = true;
        resume(s);
}

void h2_stream_drop_unsent(struct h2_stream *s) {
        while (s->count > (s->offset > 0 ? 1 : 0)) {
                size_t last = (s->head + s->count - 1) % s->ring_size;

                account(s, prefix_size(s) + s->ring[last]->size);
                bytes_unref(s->ring[last]);
                s->count--;
        }
}

bool h2_stream_is_blocked(struct h2_stream *s) {
        nghttp2_session *session = s->connection->session;

        return s->count > 0 &&
               (nghttp2_session_get_stream_remote_window_size(session, s->id) <= 0 ||
                               nghttp2_session_get_remote_window_size(session) <= 0);
}

void h2_stream_reset(struct h2_stream *s, uint32_t error) {
        struct h2_connection *c = s->connection;

        s->deaf = true;
        if (c->state != H2_OPEN)
                return;
        (void)nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, s->id, error);
        h2_connection_dirty(c);
}

/* nghttp2 asks for up to n bytes of DATA: as many messages as fit, each behind its prefix. */
static ssize_t provide(nghttp2_session *session, int32_t id, uint8_t *out, size_t n,
                uint32_t *flags, nghttp2_data_source *source, void *userdata) {
        struct h2_stream *s = source->ptr;
        const size_t before = prefix_size(s);
        size_t filled = 0;

        while (s->count > 0 && filled < n) {
                const struct bytes *b = s->ring[s->head];
                const uint32_t size = (uint32_t)b->size;
                const uint8_t prefix[PREFIX_SIZE] = {0, (uint8_t)(size >> 24),
                                (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size};

                while (s->offset < before && filled < n)
                        out[filled++] = prefix[s->offset++];
                if (s->offset < before)
                        break;
                size_t done = s->offset - before, part = MIN(n - filled, b->size - done);
                memcpy(out + filled, b->data + done, part);
                filled += part;
                s->offset += part;
                if (done + part == b->size)
                        pop(s);
        }
        account(s, filled);
        if (s->count > 0)
                return (ssize_t)filled;
        if (s->ending) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                if (s->connection->handler->on_local_end(s))
                        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                return (ssize_t)filled;
        }
        if (filled > 0) {
                drained_note(s);
                return (ssize_t)filled;
        }
        s->waits = true;
        return NGHTTP2_ERR_DEFERRED;
}

static size_t to_nv(nghttp2_nv *nv, const struct h2_header *headers, size_t n) {
        assert(n <= H2_HEADERS_MAX);
        for (size_t i = 0; i < n; i++)
                nv[i] = (nghttp2_nv){.name = (uint8_t *)headers[i].name,
                                .namelen = strlen(headers[i].name),
                                .value = (uint8_t *)headers[i].value,
                                .valuelen = strlen(headers[i].value)};
        return n;
}

int h2_submit_request(struct h2_connection *c, struct h2_stream *s, const struct h2_header *headers,
                size_t n) {
        const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = provide};
        nghttp2_nv nv[H2_HEADERS_MAX];
        int32_t id = nghttp2_submit_request(
                        c->session, NULL, nv, to_nv(nv, headers, n), &provider, s);

        if (id < 0)
                return id == NGHTTP2_ERR_NOMEM ? -ENOMEM : -ECONNRESET;
        h2_stream_link(s, c, id);
        c->queued += s->queued;
        h2_connection_dirty(c);
        return 0;
}

int h2_submit_response(struct h2_stream *s, const struct h2_header *headers, size_t n,
                bool with_messages) {
        const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = provide};
        struct h2_connection *c = s->connection;
        nghttp2_nv nv[H2_HEADERS_MAX];

        if (c->state != H2_OPEN)
                return -ECONNRESET;
        if (nghttp2_submit_response(c->session, s->id, nv, to_nv(nv, headers, n),
                            with_messages ? &provider : NULL) != 0)
                return -ENOMEM;
        h2_connection_dirty(c);
        return 0;
}

int h2_submit_trailers(struct h2_stream *s, const struct h2_header *headers, size_t n) {
        nghttp2_nv nv[H2_HEADERS_MAX];

        return nghttp2_submit_trailer(s->connection->session, s->id, nv, to_nv(nv, headers, n)) == 0
                               ? 0
                               : -ENOMEM;
}

/* ---- memory ---- */

static void *mem_malloc(size_t n, void *pool) {
        return pool_alloc(pool, n);
}

static void mem_free(void *block, void *pool) {
        pool_free(pool, block);
}

static void *mem_calloc(size_t count, size_t n, void *pool) {
        size_t size;

        return __builtin_mul_overflow(count, n, &size) ? NULL : pool_zalloc(pool, size);
}

static void *mem_realloc(void *block, size_t n, void *pool) {
        return pool_realloc(pool, block, n);
}

nghttp2_mem h2_memory(struct pool *pool) {
        return (nghttp2_mem){pool, mem_malloc, mem_free, mem_calloc, mem_realloc};
}
