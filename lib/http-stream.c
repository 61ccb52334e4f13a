/* Streams: a bounded ring of shared bytes between the program and the connection. Chunks are
 * written by http-stream-send.c, while the connection is suspended for libmicrohttpd, which sends
 * the head and the end. For a client of HTTP/1.0 libmicrohttpd's content reader takes the bytes: it
 * suspends the connection when the ring is empty, and a write resumes it. The program's handle and
 * libmicrohttpd's response end in either order: `released` says that the program has let go, and
 * the response's free function is the one place where a stream is freed. */
#include "lib/http-server-internal.h"

enum { BLOCK_SIZE = 16 << 10, BLOCK_SIZE_UNUSED = 64 };

static void ring_clear(struct http_stream *s) {
        while (s->count > 0) {
                bytes_unref(s->ring[s->head]);
                s->head = (s->head + 1) % s->ring_size;
                s->count--;
        }
        s->queued = s->offset = 0;
}

static int ring_push(struct http_stream *s, struct bytes *b) {
        if (s->count == s->ring_size) {
                size_t size = s->ring_size ? 2 * s->ring_size : STREAM_RING_MIN;
                struct bytes **ring = reallocarray(NULL, size, sizeof(*ring));

                if (!ring)
                        return -ENOMEM;
                for (size_t i = 0; i < s->count; i++)
                        ring[i] = s->ring[(s->head + i) % s->ring_size];
                free(s->ring);
                s->ring = ring;
                s->ring_size = size;
                s->head = 0;
        }
        s->ring[(s->head + s->count++) % s->ring_size] = bytes_ref(b);
        s->queued += b->size;
        return 0;
}

static void drained_unlink(struct http_stream *s) {
        if (!s->drained_link)
                return;
        *s->drained_link = s->drained_next;
        if (s->drained_next)
                s->drained_next->drained_link = s->drained_link;
        s->drained_link = NULL;
        s->drained_next = NULL;
}

/* The program may write, end and abort in on_drained, so it is called outside of MHD_run(). */
void http_stream_note_drained(struct http_stream *s) {
        if (!s->on_drained || s->released || s->drained_link)
                return;
        s->drained_next = s->server->drained;
        s->drained_link = &s->server->drained;
        if (s->drained_next)
                s->drained_next->drained_link = &s->drained_next;
        s->server->drained = s;
}

void http_streams_tell_drained(struct http_server *server) {
        struct http_stream *s;

        while ((s = server->drained)) {
                drained_unlink(s);
                if (s->count == 0 && !s->released)
                        s->on_drained(s, s->on_drained_userdata);
        }
}

size_t http_stream_peek(
                const struct http_stream *s, struct http_stream_place *at, char *out, size_t n) {
        size_t filled = 0;

        while (at->pieces < s->count && filled < n) {
                const struct bytes *b = s->ring[(s->head + at->pieces) % s->ring_size];
                size_t part = MIN(n - filled, b->size - at->offset);

                memcpy(out + filled, b->data + at->offset, part);
                filled += part;
                at->offset += part;
                if (at->offset == b->size) {
                        at->pieces++;
                        at->offset = 0;
                }
        }
        return filled;
}

void http_stream_drop(struct http_stream *s, size_t n) {
        s->queued -= n;
        s->offset += n;
        while (s->count > 0 && s->offset >= s->ring[s->head]->size) {
                struct bytes *b = s->ring[s->head];

                s->head = (s->head + 1) % s->ring_size;
                s->count--;
                s->offset -= b->size;
                bytes_unref(b);
        }
}

static size_t take(struct http_stream *s, char *out, size_t n) {
        struct http_stream_place at = {.offset = s->offset};
        size_t filled = http_stream_peek(s, &at, out, n);

        http_stream_drop(s, filled);
        return filled;
}

static ssize_t stream_read(void *userdata, uint64_t position, char *out, size_t n) {
        struct http_stream *s = userdata;
        size_t filled;

        if (s->aborted)
                return MHD_CONTENT_READER_END_WITH_ERROR;
        filled = s->chunked ? 0 : take(s, out, n);
        s->server->progress += filled;
        if (filled > 0) {
                if (s->count == 0)
                        http_stream_note_drained(s);
                return (ssize_t)filled;
        }
        if (s->ended && s->count == 0)
                return MHD_CONTENT_READER_END_OF_STREAM;
        if (!s->suspended && s->request) {
                s->suspended = true;
                MHD_suspend_connection(s->request->mhd);
                if (s->chunked)
                        http_stream_go_direct(s);
        }
        return 0;
}

void http_stream_wake(struct http_stream *s) {
        if (!s->suspended || !s->request)
                return;
        s->suspended = false;
        s->request->connection->transport.apart = false;
        MHD_resume_connection(s->request->mhd);
        http_server_run_soon(s->server);
}

void http_stream_detach(struct http_stream *s) {
        if (!s)
                return;
        drained_unlink(s);
        http_stream_send_stop(s);
        if (s->request)
                s->request->stream = NULL;
        s->request = NULL;
        if (s->released)
                return;
        s->released = true;
        if (s->on_gone)
                s->on_gone(s, s->on_gone_userdata);
}

/* The response is done with: the connection has ended, or the last byte has gone. */
static void stream_freed(void *userdata) {
        struct http_stream *s = userdata;

        http_stream_detach(s);
        ring_clear(s);
        free(s->ring);
        free(s);
}

struct http_stream *http_stream_begin(struct http_request *r, int code, const char *content_type,
                size_t queued_bytes_max, http_stream_func on_gone, void *userdata) {
        struct http_stream *s;

        if (r->h2)
                return http2_stream_begin(
                                r, code, content_type, queued_bytes_max, on_gone, userdata);
        s = calloc(1, sizeof(*s));
        if (!s)
                goto failed;
        *s = (struct http_stream){.server = r->server,
                        .queued_max = queued_bytes_max,
                        .on_gone = on_gone,
                        .on_gone_userdata = userdata};
        /* A stream answered inside the handler is watched too. Without the watch a silent client's
         * end would be seen at the next write only, which is late but not wrong. */
        if (!r->hangup)
                (void)http_request_watch(r);
        s->chunked = r->http11 && r->hangup;
        struct MHD_Response *response = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN,
                        s->chunked ? BLOCK_SIZE_UNUSED : BLOCK_SIZE, stream_read, s, stream_freed);
        if (!response)
                goto failed;
        s->request = r;
        r->stream = s;
        if (content_type)
                (void)MHD_add_response_header(response, "Content-Type", content_type);
        http_request_answer(r, (unsigned)code, response);
        return s;
failed:
        free(s);
        http_respond(r, 500, "text/plain", "out of memory\n", 14);
        return NULL;
}

int http_stream_write(struct http_stream *s, struct bytes *b) {
        int r;

        assert(!s->released);
        if (b->size == 0)
                return 0;
        if (http_stream_queued(s) > 0 && http_stream_queued(s) + b->size > s->queued_max)
                return -ENOBUFS;
        if (s->h2)
                return h2_stream_send(s->h2, NULL, 0, b);
        r = ring_push(s, b);
        if (r < 0)
                return r;
        if (s->chunked)
                http_stream_send_later(s);
        else
                http_stream_wake(s);
        return 0;
}

int http_stream_write_copy(struct http_stream *s, const void *data, size_t n) {
        _cleanup_bytes_ struct bytes *b = bytes_new(data, n);

        return b ? http_stream_write(s, b) : -ENOMEM;
}

size_t http_stream_queued(const struct http_stream *s) {
        return s->h2 ? s->h2->queued : s->queued;
}

void http_stream_on_drained(struct http_stream *s, http_stream_func func, void *userdata) {
        s->on_drained = func;
        s->on_drained_userdata = userdata;
        if (!func)
                drained_unlink(s);
}

void http_stream_end(struct http_stream *s) {
        assert(!s->released);
        s->released = s->ended = true;
        if (s->h2) {
                h2_stream_end(s->h2);
                return;
        }
        drained_unlink(s);
        if (s->direct)
                http_stream_send_later(s);
        else
                http_stream_wake(s);
}

void http_stream_abort(struct http_stream *s) {
        assert(!s->released);
        s->released = s->aborted = true;
        if (s->h2) {
                h2_stream_drop_unsent(s->h2);
                h2_stream_reset(s->h2, H2_INTERNAL_ERROR);
                return;
        }
        drained_unlink(s);
        http_stream_send_stop(s);
        ring_clear(s);
        http_stream_wake(s);
}
