/* The chunks of streams, written past libmicrohttpd. Once the head is out and the connection is
 * suspended, libmicrohttpd 0.9.75 neither holds bytes for it nor looks at it; so a chunk of up to
 * one TLS record is put together and written here with one call. Through libmicrohttpd each write
 * of a stream cost a walk over all suspended connections, two changes of its epoll set and a buffer
 * of 16 KiB. Streams that have something queued stand in a list and have turns of bounded time;
 * what a socket does not take is kept and written when it takes bytes again. libmicrohttpd gets the
 * connection back for the end: it writes the last chunk. */
#include "lib/http-server-internal.h"

enum {
        RECORD_SIZE = 16 << 10, /* of TLS, RFC 8446 section 5.1 */
        CHUNK_MAX = RECORD_SIZE - sizeof("ffff\r\n\r\n") + 1,
        STREAM_BYTES_MAX = 4 * RECORD_SIZE, /* of one stream in a turn */
        TURN_US = 2 * 1000,                 /* of one turn of the loop */
        CLOCK_EVERY = 16,                   /* streams between looks at the clock */
};

static int on_send_soon(sd_event_source *source, void *userdata);

/* A new source each time, as in http_server_run_soon(). */
static void send_soon(struct http_server *server) {
        if (!server->send_soon)
                (void)sd_event_add_defer(server->event, &server->send_soon, on_send_soon, server);
}

void http_stream_send_later(struct http_stream *s) {
        if (!s->direct || s->blocked || s->to_send)
                return;
        s->to_send = true;
        TAILQ_INSERT_TAIL(&s->server->to_send, s, send_entry);
        send_soon(s->server);
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
        if (s->count > 0)
                http_stream_send_later(s);
}

static ssize_t write_bytes(struct http_stream *s, const char *p, size_t n) {
        struct http_connection *c = s->request->connection;
        ssize_t r;

        if (c->tls)
                return tls_transport_write(&c->transport, p, n);
        r = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        return r < 0 ? errno == EINTR ? -EAGAIN : -errno : r;
}

/* The client has left, or there is no memory: the watch for its end sees it and does the rest. */
static void break_connection(struct http_stream *s) {
        s->blocked = true;
        (void)shutdown(s->request->connection->fd, SHUT_RDWR);
}

/* How many bytes were written. */
static size_t write_all(struct http_stream *s, const char *p, size_t n) {
        size_t done = 0;

        while (done < n) {
                ssize_t r = write_bytes(s, p + done, n - done);

                if (r == -EAGAIN)
                        break;
                if (r <= 0) {
                        break_connection(s);
                        break;
                }
                done += (size_t)r;
        }
        return done;
}

static void wait_for_socket(struct http_stream *s) {
        s->blocked = true;
        if (sd_event_source_set_io_events(s->request->hangup, EPOLLRDHUP | EPOLLOUT) < 0)
                break_connection(s);
}

/* Whether everything that was not taken before has been taken now. */
static bool write_rest(struct http_stream *s) {
        s->rest_offset +=
                        write_all(s, s->rest.data + s->rest_offset, s->rest.size - s->rest_offset);
        if (s->rest_offset == s->rest.size) {
                buf_done(&s->rest);
                s->rest_offset = 0;
                return true;
        }
        if (!s->blocked)
                wait_for_socket(s);
        return false;
}

/* The next chunk in the record; its size with what surrounds it. */
static size_t make_chunk(struct http_stream *s, char *record) {
        char head[sizeof("ffff\r\n")];
        size_t size = MIN(s->queued, (size_t)CHUNK_MAX);
        int n = snprintf(head, sizeof(head), "%x\r\n", (unsigned)size & 0xffff);

        memcpy(record, head, (size_t)n);
        size = (size_t)n + http_stream_take(s, record + n, size);
        memcpy(record + size, "\r\n", 2);
        return size + 2;
}

static bool write_chunk(struct http_stream *s, size_t *sent) {
        char *record = s->server->record;
        size_t n = make_chunk(s, record), done = write_all(s, record, n);

        *sent += n;
        if (done == n)
                return true;
        if (s->blocked)
                return false;
        /* TLS has made a record of it already: the same bytes are given again. */
        if (buf_append(&s->rest, record + done, n - done) < 0)
                break_connection(s);
        else
                wait_for_socket(s);
        return false;
}

static void send_some(struct http_stream *s) {
        size_t sent = 0;

        if (s->rest.size > 0) {
                if (!write_rest(s))
                        return;
                sent = 1;
        }
        while (s->count > 0 && sent < STREAM_BYTES_MAX)
                if (!write_chunk(s, &sent))
                        return;
        if (s->count > 0)
                http_stream_send_later(s);
        else if (s->ended)
                http_stream_wake(s);
        else if (sent > 0)
                http_stream_note_drained(s);
}

static bool has_record(struct http_server *server) {
        if (!server->record)
                server->record = malloc(RECORD_SIZE);
        return server->record;
}

static int on_send_soon(sd_event_source *source, void *userdata) {
        struct http_server *server = userdata;
        const uint64_t until_us = now_mono_us() + TURN_US;
        struct http_stream *s;
        size_t n = 0;

        server->send_soon = sd_event_source_disable_unref(server->send_soon);
        while ((s = TAILQ_FIRST(&server->to_send))) {
                TAILQ_REMOVE(&server->to_send, s, send_entry);
                s->to_send = false;
                if (has_record(server))
                        send_some(s);
                else
                        break_connection(s);
                if (++n % CLOCK_EVERY == 0 && now_mono_us() > until_us)
                        break;
        }
        if (!TAILQ_EMPTY(&server->to_send))
                send_soon(server);
        http_streams_tell_drained(server);
        return 0;
}

void http_stream_unblock(struct http_stream *s) {
        if (s->aborted || !s->direct)
                return;
        s->blocked = false;
        (void)sd_event_source_set_io_events(s->request->hangup, EPOLLRDHUP);
        http_stream_send_later(s);
}
