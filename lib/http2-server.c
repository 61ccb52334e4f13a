/* Connections and requests of HTTP/2 (RFC 9113), on lib/h2.h, for the HTTP server's programs, which
 * do not notice: a stream is a request, and its end is the request's.
 *
 *   stream opened -> RECEIVING -> (END_STREAM, or the body is not wanted) -> program's handler
 *     answered inside it, or later: ANSWERED -> queued; the stream closes with the last byte
 *     the client resets it, or its connection ends: on_gone
 *
 * The stream's close (on_closed) is where a request is freed, and the one place. What a client may
 * hold beside the limits of http-limits.c: streams at a time, the size of a head, the time for a
 * body, frames that cost it nothing (lib/h2-calm.h), and time in which it takes nothing of an
 * answer: then that stream is reset, the others continue. */
#include "lib/http-server-internal.h"

enum {
        STREAMS_MAX_DEFAULT = 250, /* as Kubernetes */
        STREAM_WINDOW = 256 << 10,
        CONNECTION_WINDOW = 4 << 20,
        /* Answers share their bytes with the cache and are bounded by their kind; this is against
         * clients that ask and never read. */
        UNREAD_MAX = 256 << 20,
        IDLE_FRAMES_PER_S = 100,
        IDLE_FRAMES_AT_ONCE = 1000,
        EXCESS_MAX = 256, /* headers that are read and not kept */
        HEAD_US = 15 * 1000 * 1000,
        RECEIVE_US = 60 * 1000 * 1000,  /* for a body */
        RECEIVE_BYTES_PER_S = 64 << 10, /* beyond that time */
        LOOK_MAX_US = 5 * 1000 * 1000,  /* between looks for those who take nothing */
};

static struct http2_request *of_stream(struct h2_stream *s) {
        return container_of(s, struct http2_request, stream);
}

void http_connection_release(struct http_connection *c) {
        if (--c->holders > 0)
                return;
        http_limits_end(c);
        tls_peer_done(&c->certificate);
        tls_peer_done(&c->signer);
        tls_context_free(c->tls);
        free(c);
}

static void request_free(struct http_request *r) {
        struct http_connection *c = r->connection;
        struct buf head = r->h2->head;
        struct h2_header *headers = r->h2->headers;

        http_gzip_free(r->h2->gzip);
        http_request_end(r); /* the program may still look at its headers */
        buf_done(&head);
        free(headers);
        http_connection_release(c);
}

/* ---- the head ---- */

static struct h2_stream *on_request(struct h2_connection *c, int32_t id) {
        struct pair {
                struct http_request request; /* first: its end frees both */
                struct http2_request h2;
        } * pair;
        struct http_connection *connection = c->owner;

        /* While it drains: what was on its way when the client was told. */
        if (connection->server->stopping || (connection->server->draining && !c->notice_us))
                return NULL;
        pair = calloc(1, sizeof(*pair));
        if (!pair)
                return NULL;
        pair->request.server = connection->server;
        pair->request.connection = connection;
        pair->request.h2 = &pair->h2;
        pair->h2.request = &pair->request;
        pair->h2.stream.deadline_us = h2_now_us() + HEAD_US;
        h2_loop_wake_at(c->loop, pair->h2.stream.deadline_us);
        h2_stream_link(&pair->h2.stream, c, id);
        connection->holders++;
        return &pair->h2.stream;
}

/* Names and values are kept one behind the other; where, is known when all are there. */
static int on_header(struct h2_stream *s, const char *name, const char *value) {
        struct http2_request *h = of_stream(s);
        size_t n, m;

        /* Trailers, and what is too much: a few bytes may stand for many large headers (RFC 7541),
         * and each costs time. */
        if (h->begun || h->too_large)
                return ++h->excess > EXCESS_MAX ? -E2BIG : 0;
        n = strlen(name) + 1;
        m = strlen(value) + 1;
        if (h->head.size + n + m > HTTP2_HEADERS_SIZE_MAX || h->header_count >= HTTP2_HEADERS_MAX) {
                h->too_large = true;
                return 0;
        }
        if (buf_append(&h->head, name, n) < 0 || buf_append(&h->head, value, m) < 0)
                return -ENOMEM;
        h->header_count++;
        return 0;
}

/* The list of headers, of what was kept; method and target are not in it. */
static int index_headers(struct http2_request *h) {
        char *at = h->head.data;
        size_t count = 0;

        h->headers = calloc(h->header_count + 1, sizeof(*h->headers));
        if (!h->headers)
                return -ENOMEM;
        for (size_t i = 0; i < h->header_count; i++) {
                char *name = at, *value = name + strlen(name) + 1;

                at = value + strlen(value) + 1;
                if (streq(name, ":method"))
                        h->request->method = value;
                else if (streq(name, ":path"))
                        h->target = value;
                else if (streq(name, ":authority"))
                        h->headers[count++] = (struct h2_header){"host", value};
                else if (*name != ':')
                        h->headers[count++] = (struct h2_header){name, value};
        }
        h->header_count = count;
        return 0;
}

static void handle(struct http_request *r) {
        struct http_server *s = r->server;
        struct http2_request *h = r->h2;

        http_limits_received(r);
        h->stream.deadline_us = UINT64_MAX;
        h->served = true;
        r->connection->served++;
        if (r->too_large) {
                http_request_refuse_size(r);
                return;
        }
        if (r->busy) {
                http_request_refuse_busy(r);
                return;
        }
        r->state = REQUEST_HANDLING;
        s->options.handler(r, s->options.userdata);
        if (h->closed)
                request_free(r);
        else if (r->state == REQUEST_HANDLING)
                r->state = REQUEST_WAITING;
}

/* Looks at the head: whether there will be a body, and who asks. */
static void begin(struct http_request *r) {
        struct http_server *s = r->server;
        const char *length;
        uint64_t n = 0;
        int k = index_headers(r->h2);

        r->method = strempty(r->method);
        if (k >= 0)
                k = http_request_parse_target(r, strempty(r->h2->target));
        if (r->h2->too_large)
                http_request_refuse(r, 431, "the headers of the request are too large");
        else if (k == -E2BIG)
                http_request_refuse(r, 414, "the request has too many query parameters");
        else if (k < 0)
                http2_answer_failed(r);
        if (r->state != REQUEST_RECEIVING)
                return;
        length = http_request_header(r, "content-length");
        if (length && parse_u64(length, &n) < 0) {
                http_request_refuse(r, 400, "the Content-Length header is not a number");
                return;
        }
        if (!s->options.admit)
                http_limits_trust(r->connection);
        else
                r->drop = s->options.admit(r, s->options.userdata) == HTTP_DROP_BODY;
        r->too_large = !r->drop && n > s->options.body_size_max;
        r->busy = !r->drop && !r->too_large && n > 0 && http_limits_reserve(r, (size_t)n) < 0;
        if ((r->drop || r->too_large || r->busy) && n > http_request_discard_max(r))
                handle(r);
        else
                r->h2->stream.deadline_us = h2_now_us() + RECEIVE_US;
}

static void on_remote_end(struct h2_stream *s) {
        struct http_request *r = of_stream(s)->request;

        if (r->state == REQUEST_RECEIVING)
                handle(r);
}

static void on_headers(struct h2_stream *s, bool end) {
        struct http2_request *h = of_stream(s);

        if (!h->begun) {
                h->begun = true;
                begin(h->request);
        }
        if (end)
                on_remote_end(s);
}

static void on_data(struct h2_stream *s, const void *data, size_t n) {
        struct http_request *r = of_stream(s)->request;

        if (r->state != REQUEST_RECEIVING)
                return;
        s->deadline_us += (uint64_t)n * 1000000 / RECEIVE_BYTES_PER_S;
        if (http_request_keep(r, data, n) < 0)
                http2_answer_failed(r);
        else if (r->discarded > http_request_discard_max(r))
                handle(r);
}

/* ---- the end ---- */

void http2_not_served(struct http_request *r) {
        if (r->h2->served)
                r->connection->served--;
        r->h2->served = false;
}

static int on_local_end(struct h2_stream *s) {
        return 0;
}

static void on_drained(struct h2_stream *s) {
        struct http2_request *h = of_stream(s);
        struct http_stream *stream = h->request->stream;

        if (h->gzip)
                http2_more_gzip(h);
        else if (stream && stream->on_drained && !stream->released)
                stream->on_drained(stream, stream->on_drained_userdata);
}

static void on_expired(struct h2_stream *s) {
        h2_stream_reset(s, H2_CANCEL);
}

static void on_closed(struct h2_stream *s, uint32_t error) {
        struct http2_request *h = of_stream(s);
        struct http_request *r = h->request;
        struct http_connection *c = r->connection;
        struct http_stream *stream = r->stream;
        const enum request_state state = r->state;

        r->state = REQUEST_GONE;
        if ((state == REQUEST_WAITING || state == REQUEST_HANDLING) && r->on_gone)
                r->on_gone(r, r->on_gone_userdata);
        if (stream) {
                stream->h2 = NULL;
                http_stream_detach(stream);
                free(stream);
        }
        s->connection->queued -= h->held;
        h2_stream_done(s);
        http2_not_served(r);
        if (!c->closed)
                http_limits_answered(c);
        c->idle_us = h2_now_us();
        h->closed = true;
        if (state != REQUEST_HANDLING)
                request_free(r);
}

/* The connection no longer counts; its requests may still hold it. */
static void connection_closed(struct http_connection *c) {
        c->closed = true;
        http_limits_end(c);
        c->server->h2_count--;
        http_connection_release(c);
}

static void on_broken(struct h2_connection *c, const char *why) {
        struct http_connection *connection = c->owner;

        connection_closed(connection);
}

/* ---- time ---- */

/* Streams whose reader takes nothing; looked at from outside of HTTP/2. */
static void look_at_streams(struct h2_connection *c, uint64_t now_us, uint64_t patience_us) {
        for (struct h2_stream *s = c->streams; s; s = s->next) {
                struct http2_request *h = of_stream(s);

                if (s->count == 0 || s->taken != h->taken || h->waits_us == 0) {
                        h->taken = s->taken;
                        h->waits_us = s->count > 0 ? now_us : 0;
                } else if (now_us - h->waits_us > patience_us && !h->given_up) {
                        h->given_up = true;
                        h2_stream_drop_unsent(s);
                        h2_stream_reset(s, H2_CANCEL);
                }
        }
}

/* May end it. */
static void look_at(struct h2_connection *c, uint64_t now_us) {
        struct http_connection *connection = c->owner;
        const uint64_t patience_us = connection->server->options.idle_timeout_s * 1000000ULL;

        if (!h2_connection_is_stuck(c) || c->written != connection->written ||
                        connection->stuck_us == 0) {
                connection->written = c->written;
                connection->stuck_us = h2_connection_is_stuck(c) ? now_us : 0;
        } else if (now_us - connection->stuck_us > patience_us) {
                h2_connection_fail(c, "the client takes nothing");
                return;
        }
        look_at_streams(c, now_us, patience_us);
        if (c->streams || now_us - connection->idle_us <= patience_us)
                return;
        if (c->goes_away || c->state != H2_OPEN)
                h2_connection_fail(c, "the client is silent");
        else {
                connection->idle_us = now_us;
                h2_connection_go_away(c);
        }
}

static uint64_t look_us(const struct http_server *s) {
        return MIN((uint64_t)LOOK_MAX_US, s->options.idle_timeout_s * 1000000ULL / 4);
}

static void on_deadline(struct h2_loop *loop, uint64_t now_us) {
        struct http_server *s = container_of(loop, struct http_server, h2_loop);
        uint64_t next_us = now_us + look_us(s);
        struct h2_connection *next;
        bool freed = false;

        s->freed = &freed;
        for (struct h2_connection *c = s->h2_connections; c; c = next) {
                next = c->next;
                look_at(c, now_us);
                if (freed)
                        return;
        }
        for (struct h2_connection *c = s->h2_connections; c; c = next) {
                next = c->next;
                h2_connection_check(c, now_us, &next_us);
                if (freed)
                        return;
        }
        s->freed = NULL;
        if (s->h2_connections)
                h2_loop_wake_at(loop, next_us);
}

/* ---- the server ---- */

void http2_server_take(struct http_server *s, struct http_connection *connection) {
        struct h2_connection *c;

        (void)tls_context_refresh(&s->tls);
        if (http_limits_join(connection) < 0 ||
                        h2_connection_new(&c, &s->h2_loop, &s->h2_handler, connection,
                                        connection->fd, s->tls, /* server_name= */ NULL,
                                        H2_SERVER) < 0) {
                safe_close(connection->fd);
                http_limits_end(connection);
                free(connection);
                return;
        }
        net_tune(connection->fd);
        connection->h2 = c;
        connection->holders = 1;
        connection->tls = tls_context_ref(s->tls);
        connection->idle_us = h2_now_us();
        c->link = &s->h2_connections;
        c->next = s->h2_connections;
        if (c->next)
                c->next->link = &c->next;
        s->h2_connections = c;
        s->h2_count++;
        h2_loop_wake_at(&s->h2_loop, connection->idle_us + look_us(s));
}

void http2_server_go_away(struct http_server *s) {
        for (struct h2_connection *c = s->h2_connections; c; c = c->next)
                h2_connection_go_away(c);
}

int http2_server_init(struct http_server *s) {
        const unsigned streams = s->options.http2_streams_max;
        int r;

        s->h2_terms = (struct h2_terms){.streams_max = streams ? streams : STREAMS_MAX_DEFAULT,
                        .stream_window = STREAM_WINDOW,
                        .connection_window = CONNECTION_WINDOW,
                        .queued_max = SIZE_MAX,
                        .unread_max = UNREAD_MAX,
                        .strict = true,
                        .any_peer = true,
                        .idle_frames_per_s = IDLE_FRAMES_PER_S,
                        .idle_frames_at_once = IDLE_FRAMES_AT_ONCE};
        s->h2_handler = (struct h2_handler){.terms = &s->h2_terms,
                        .on_request = on_request,
                        .on_header = on_header,
                        .on_headers = on_headers,
                        .on_data = on_data,
                        .on_remote_end = on_remote_end,
                        .on_local_end = on_local_end,
                        .on_drained = on_drained,
                        .on_expired = on_expired,
                        .on_closed = on_closed,
                        .on_broken = on_broken};
        r = h2_loop_init(&s->h2_loop, s->event, on_deadline);
        s->h2_loop.parallel = s->options.parallel;
        return r;
}

void http2_server_done(struct http_server *s) {
        struct h2_connection *c;

        if (!s->h2_loop.event)
                return;
        if (s->freed)
                *s->freed = true;
        while ((c = s->h2_connections)) {
                struct http_connection *connection = c->owner;

                h2_connection_shutdown(c);
                connection_closed(connection);
        }
        h2_loop_done(&s->h2_loop);
}
