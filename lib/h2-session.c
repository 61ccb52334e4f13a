/* nghttp2, which only this file includes: what it finds in the frames that came (streams, headers,
 * bytes, ends), and data to send as frames. */
#include <nghttp2/nghttp2.h>

#include "lib/h2-calm.h"
#include "lib/h2-internal.h"

enum {
        STREAM_WINDOW = 4 << 20,
        CONNECTION_WINDOW = 16 << 20,
        CONCURRENT_STREAMS_MAX = 10000,
        OUTBOUND_MAX = 4096,   /* frames that wait for the peer to read, where it costs it */
        UNREAD_MAX = 16 << 20, /* answers a peer has not read; it gets no further streams then */
};

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id) {
        return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

const struct h2_terms *h2_terms_of(const struct h2_connection *c) {
        static const struct h2_terms none;

        return c->handler->terms ? c->handler->terms : &none;
}

/* The connection ends, the peer learns why. */
static int lose_patience(struct h2_connection *c) {
        c->goes_away = true;
        return nghttp2_session_terminate_session(c->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

static int spend(struct h2_connection *c) {
        const struct h2_terms *t = h2_terms_of(c);

        if (c->goes_away || h2_calm_spend(&c->idle_frames_us, h2_now_us(), t->idle_frames_per_s,
                                            t->idle_frames_at_once))
                return 0;
        return lose_patience(c);
}

/* Each frame, by its first nine bytes. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *head, void *userdata) {
        struct h2_connection *c = userdata;

        /* It asks and provokes resets without reading a word. */
        if (h2_terms_of(c)->idle_frames_per_s > 0 &&
                        nghttp2_session_get_outbound_queue_size(session) > OUTBOUND_MAX)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        return h2_calm_costs(head->type, head->flags, head->length) ? spend(c) : 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        struct h2_connection *c = userdata;

        if (c->doomed)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        if (!c->server || frame->hd.type != NGHTTP2_HEADERS ||
                        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        const size_t unread_max = h2_terms_of(c)->unread_max;
        struct h2_stream *s = c->goes_away || c->queued > (unread_max ? unread_max : UNREAD_MAX)
                                              ? NULL
                                              : c->handler->on_request(c, frame->hd.stream_id);
        if (!s)
                return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                NGHTTP2_REFUSED_STREAM);
        return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, s);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                void *userdata) {
        struct h2_connection *c = userdata;
        struct h2_stream *s = c->doomed ? NULL : stream_of(session, frame->hd.stream_id);

        if (c->doomed)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        if (s && c->handler->on_header(s, (const char *)name, (const char *)value) < 0)
                return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                size_t n, void *userdata) {
        struct h2_connection *c = userdata;
        struct h2_stream *s = c->doomed ? NULL : stream_of(session, id);

        if (s && !s->deaf)
                c->handler->on_data(s, data, n);
        return c->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_stream_frame(struct h2_connection *c, struct h2_stream *s, const nghttp2_frame *f) {
        bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

        if (f->hd.type == NGHTTP2_HEADERS)
                c->handler->on_headers(s, end);
        else if (f->hd.type == NGHTTP2_DATA && end)
                c->handler->on_remote_end(s);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        struct h2_connection *c = userdata;
        struct h2_stream *s = c->doomed ? NULL : stream_of(session, frame->hd.stream_id);

        if (c->doomed)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        if (frame->hd.type == NGHTTP2_SETTINGS)
                c->settled = true;
        else if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK)) {
                c->pinged = false;
                c->round_trip_us = h2_now_us() - c->pinged_us;
                c->round_trips++;
        } else if (frame->hd.type == NGHTTP2_GOAWAY && c->handler->on_goaway)
                c->handler->on_goaway(c);
        else if (s)
                on_stream_frame(c, s, frame);
        return c->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* A server that has sent its whole answer does not wait for the rest of the request. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        struct h2_connection *c = userdata;

        /* Faults that a client provokes to have its requests reset (CVE-2025-8671). */
        if (c->server && !c->doomed && frame->hd.type == NGHTTP2_RST_STREAM &&
                        frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
                        h2_terms_of(c)->idle_frames_per_s > 0)
                return spend(c);
        if (c->server && !c->doomed && frame->hd.type != NGHTTP2_RST_STREAM &&
                        frame->hd.stream_id > 0 && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
                        (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                        nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
                return nghttp2_submit_rst_stream(
                                session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
        return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *userdata) {
        struct h2_connection *c = userdata;
        struct h2_stream *s = c->doomed ? NULL : stream_of(session, id);

        if (!s)
                return 0;
        h2_stream_unlink(s);
        c->handler->on_closed(s, error);
        return c->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
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

static nghttp2_mem h2_memory(struct pool *pool) {
        return (nghttp2_mem){pool, mem_malloc, mem_free, mem_calloc, mem_realloc};
}

/* ---- the session ---- */

int h2_session_new(struct h2_connection *c) {
        const struct h2_terms *t = h2_terms_of(c);
        const uint32_t streams_max = t->streams_max ? t->streams_max : CONCURRENT_STREAMS_MAX;
        const nghttp2_settings_entry settings[] = {
                        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, c->server ? streams_max : 0},
                        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE,
                                        t->stream_window ? t->stream_window : STREAM_WINDOW},
                        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_HEADERS_SIZE_MAX},
                        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        };
        nghttp2_mem mem = h2_memory(c->pool);
        nghttp2_session_callbacks *callbacks;
        nghttp2_option *option;
        int r;

        if (nghttp2_session_callbacks_new(&callbacks) != 0)
                return -ENOMEM;
        nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
        nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
        nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
        nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
        if (t->idle_frames_per_s > 0)
                nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
        /* Go's gRPC sends a Unix socket's path as :authority, which nghttp2 would refuse as
         * malformed. The server checks the headers that it needs itself. */
        if (nghttp2_option_new(&option) != 0) {
                nghttp2_session_callbacks_del(callbacks);
                return -ENOMEM;
        }
        nghttp2_option_set_no_http_messaging(option, c->server && !t->strict);
        /* For priorities, which no client uses, it would keep thousands of streams that have ended.
         */
        nghttp2_option_set_no_closed_streams(option, 1);
        r = c->server ? nghttp2_session_server_new3(&c->session, callbacks, c, option, &mem)
                      : nghttp2_session_client_new3(&c->session, callbacks, c, option, &mem);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        if (r != 0)
                return -ENOMEM;
        /* Servers send no ENABLE_PUSH. */
        r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                        ELEMENTS(settings) - (c->server ? 1 : 0));
        if (r != 0)
                return -ENOMEM;
        r = nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0,
                        t->connection_window ? (int32_t)t->connection_window : CONNECTION_WINDOW);
        return r == 0 ? 0 : -ENOMEM;
}

void h2_session_free(struct h2_connection *c) {
        nghttp2_session_del(c->session);
        c->session = NULL;
}

int h2_session_take(struct h2_connection *c, const void *data, size_t n, const char **ret_why) {
        ssize_t r = nghttp2_session_mem_recv(c->session, data, n);

        if (r >= 0)
                return 0;
        *ret_why = nghttp2_strerror((int)r);
        return -EPROTO;
}

ssize_t h2_session_give(struct h2_connection *c, const uint8_t **ret) {
        ssize_t n = nghttp2_session_mem_send(c->session, ret);

        if (n >= 0)
                return n;
        return n == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPROTO;
}

bool h2_session_wants_write(const struct h2_connection *c) {
        return nghttp2_session_want_write(c->session);
}

bool h2_session_is_over(const struct h2_connection *c) {
        return !nghttp2_session_want_read(c->session) && !nghttp2_session_want_write(c->session);
}

void h2_session_goaway(struct h2_connection *c) {
        (void)nghttp2_submit_goaway(c->session, NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(c->session), NGHTTP2_NO_ERROR, NULL,
                        0);
}

void h2_session_notice(struct h2_connection *c) {
        (void)nghttp2_submit_shutdown_notice(c->session);
}

void h2_connection_ping(struct h2_connection *c) {
        c->pinged = true;
        c->pinged_us = h2_now_us();
        (void)nghttp2_submit_ping(c->session, NGHTTP2_FLAG_NONE, NULL);
        h2_connection_dirty(c);
}

/* ---- streams ---- */

void h2_session_resume(struct h2_stream *s) {
        (void)nghttp2_session_resume_data(s->connection->session, s->id);
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

/* nghttp2 asks for up to n bytes of DATA. */
static ssize_t provide(nghttp2_session *session, int32_t id, uint8_t *out, size_t n,
                uint32_t *flags, nghttp2_data_source *source, void *userdata) {
        struct h2_stream *s = source->ptr;
        size_t filled = h2_stream_fill(s, out, n);

        if (s->count > 0)
                return (ssize_t)filled;
        if (s->ending) {
                *flags |= NGHTTP2_DATA_FLAG_EOF;
                if (s->connection->handler->on_local_end(s))
                        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
                return (ssize_t)filled;
        }
        if (filled > 0) {
                h2_stream_note_drained(s);
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

int h2_submit_response(
                struct h2_stream *s, const struct h2_header *headers, size_t n, bool with_body) {
        const nghttp2_data_provider provider = {.source.ptr = s, .read_callback = provide};
        struct h2_connection *c = s->connection;
        nghttp2_nv nv[H2_HEADERS_MAX];

        if (c->state != H2_OPEN)
                return -ECONNRESET;
        if (nghttp2_submit_response(c->session, s->id, nv, to_nv(nv, headers, n),
                            with_body ? &provider : NULL) != 0)
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
