/* The chunks of streams, written past libmicrohttpd. Once the head is out and the connection is
 * suspended, libmicrohttpd 0.9.75 neither holds bytes for it nor looks at it; so a chunk of up to
 * one TLS record is put together and written here with one call. Through libmicrohttpd each write
 * of a stream cost a walk over all suspended connections, two changes of its epoll set and a buffer
 * of 16 KiB. Streams that have something queued stand in a list and have turns of bounded time;
 * what a socket does not take is kept and written when it takes bytes again. libmicrohttpd gets the
 * connection back for the end: it writes the last chunk.
 *
 * One event for a thousand clients is a thousand times encrypting and sending, which is done by
 * several threads where there are processors (lib/parallel.h): a thread has a connection to itself,
 * and the loop waits for all of them. */
#include "lib/http-server-internal.h"

enum {
        RECORD_SIZE = 16 << 10, /* of TLS, RFC 8446 section 5.1 */
        CHUNK_MAX = RECORD_SIZE - sizeof("ffff\r\n\r\n") + 1,
        STREAM_BYTES_MAX = 4 * RECORD_SIZE, /* of one stream in a turn */
        TURN_US = 2 * 1000,                 /* of one turn of the loop */
        /* Between looks at the clock; what the threads do together. */
        BATCH_MAX = 256,
        BATCH_BYTES_MAX = 1 << 20,
};

void http_stream_send_later(struct http_stream *s) {
        if (!s->direct || s->blocked || s->to_send)
                return;
        s->to_send = true;
        TAILQ_INSERT_TAIL(&s->server->to_send, s, send_entry);
        loop_turn_ask(s->server->send_turn);
}

void http_stream_send_stop(struct http_stream *s) {
        if (s->to_send)
                TAILQ_REMOVE(&s->server->to_send, s, send_entry);
        s->to_send = false;
        s->blocked = true;
        buf_done(&s->rest);
}

void http_stream_go_direct(struct http_stream *s) {
        s->direct = true;
        s->request->connection->transport.apart = true;
        if (s->count > 0)
                http_stream_send_later(s);
}

/* ---- on any thread ---- */

/* One stream's turn. Its thread uses the stream's own socket, session and rest, and reads its queue
 * and the shared bytes in it; the loop's thread does what follows from it, later. */
struct sending {
        struct http_stream *stream;
        struct http_stream_place at; /* in its queue */
        size_t taken;                /* bytes of its queue */
        bool wrote, full, broken;    /* full: the socket takes no more */
};

static ssize_t write_bytes(struct http_stream *s, const char *p, size_t n) {
        struct http_connection *c = s->request->connection;
        ssize_t r;

        if (c->tls)
                return tls_transport_write(&c->transport, p, n);
        r = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        return r < 0 ? errno == EINTR ? -EAGAIN : -errno : r;
}

/* How many bytes were written. */
static size_t write_all(struct sending *w, const char *p, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = write_bytes(w->stream, p + done, n - done);

                if (r == -EAGAIN)
                        w->full = true;
                else if (r <= 0)
                        w->broken = true;
                if (r <= 0)
                        break;
                done += (size_t)r;
        }
        w->wrote = true;
        return done;
}

/* Whether everything that was not taken before has been taken now. */
static bool write_rest(struct sending *w) {
        struct http_stream *s = w->stream;

        s->rest_offset +=
                        write_all(w, s->rest.data + s->rest_offset, s->rest.size - s->rest_offset);
        if (s->rest_offset < s->rest.size)
                return false;
        buf_done(&s->rest);
        s->rest_offset = 0;
        return true;
}

/* The size of a chunk of at most CHUNK_MAX bytes, in hexadecimal digits, and the end of its line.
 */
static size_t chunk_head(char *out, size_t size) {
        size_t n = 0;
        int shift = 12;

        while (shift > 0 && size >> shift == 0)
                shift -= 4;
        for (; shift >= 0; shift -= 4)
                out[n++] = "0123456789abcdef"[size >> shift & 0xf];
        out[n++] = '\r';
        out[n++] = '\n';
        return n;
}

/* Whether the next chunk, of up to size bytes, was taken. */
static bool write_chunk(struct sending *w, size_t size) {
        char record[RECORD_SIZE];
        size_t n = chunk_head(record, size), done;

        w->taken += http_stream_peek(w->stream, &w->at, record + n, size);
        n += size;
        record[n++] = '\r';
        record[n++] = '\n';
        done = write_all(w, record, n);
        /* TLS has made a record of it already: the same bytes are given again. */
        if (w->full && buf_append(&w->stream->rest, record + done, n - done) < 0)
                w->broken = true;
        return done == n;
}

static int send_some(size_t i, void *userdata) {
        struct sending *w = (struct sending *)userdata + i;
        const struct http_stream *s = w->stream;
        size_t most = MIN(s->queued, (size_t)STREAM_BYTES_MAX);

        w->at.offset = s->offset;
        if (s->rest.size > 0 && !write_rest(w))
                return 0;
        while (w->taken < most)
                if (!write_chunk(w, MIN(s->queued - w->taken, (size_t)CHUNK_MAX)))
                        break;
        return 0;
}

/* ---- on the loop's ---- */

/* The client has left, or there is no memory: the watch for its end sees it and does the rest. */
static void break_connection(struct http_stream *s) {
        s->blocked = true;
        (void)shutdown(s->request->connection->fd, SHUT_RDWR);
}

static void wait_for_socket(struct http_stream *s) {
        s->blocked = true;
        if (sd_event_source_set_io_events(s->request->hangup, EPOLLRDHUP | EPOLLOUT) < 0)
                break_connection(s);
}

static void finish(const struct sending *w) {
        struct http_stream *s = w->stream;

        http_stream_drop(s, w->taken);
        if (w->broken)
                break_connection(s);
        else if (w->full)
                wait_for_socket(s);
        else if (s->count > 0)
                http_stream_send_later(s);
        else if (s->ended)
                http_stream_wake(s);
        else if (w->wrote)
                http_stream_note_drained(s);
}

/* Some of the list, side by side. */
static void send_batch(struct http_server *server) {
        struct sending batch[BATCH_MAX];
        size_t n = 0, size = 0;
        struct http_stream *s;
        int r;

        while (n < BATCH_MAX && size < BATCH_BYTES_MAX && (s = TAILQ_FIRST(&server->to_send))) {
                TAILQ_REMOVE(&server->to_send, s, send_entry);
                s->to_send = false;
                size += MIN(s->queued, (size_t)STREAM_BYTES_MAX) + s->rest.size;
                batch[n++] = (struct sending){.stream = s};
        }
        r = parallel_run(parallel_for_sending(server->options.parallel, n, size), n, send_some,
                        batch);
        assert(r >= 0);
        for (size_t i = 0; i < n; i++)
                finish(&batch[i]);
}

static void on_send_turn(void *userdata) {
        struct http_server *server = userdata;
        const uint64_t until_us = now_mono_us() + TURN_US;

        do
                send_batch(server);
        while (!TAILQ_EMPTY(&server->to_send) && now_mono_us() < until_us);
        if (!TAILQ_EMPTY(&server->to_send))
                loop_turn_ask(server->send_turn);
        http_streams_tell_drained(server);
}

int http_stream_send_init(struct http_server *server) {
        return loop_turn_new(&server->send_turn, server->event, SD_EVENT_PRIORITY_NORMAL,
                        on_send_turn, server);
}

void http_stream_unblock(struct http_stream *s) {
        if (s->aborted || !s->direct)
                return;
        s->blocked = false;
        (void)sd_event_source_set_io_events(s->request->hangup, EPOLLRDHUP);
        http_stream_send_later(s);
}
