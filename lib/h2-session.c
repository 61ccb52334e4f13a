/* What nghttp2 finds in the frames that came: streams, headers, messages, and their ends. */
#include "lib/h2.h"

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>
#include <time.h>

#include "lib/grpc.h"
#include "lib/h2-internal.h"
#include "lib/net.h"

enum {
        STREAM_WINDOW = 4 << 20,
        CONNECTION_WINDOW = 16 << 20,
        CONCURRENT_STREAMS_MAX = 10000,
        PARTIAL_MESSAGES_MAX = 64 << 20, /* per connection, beyond one whole message */
        UNREAD_MAX = 16 << 20, /* answers a peer has not read; it gets no further streams then */
        PREFIX_SIZE = 5,
};

void h2_stream_unlink(struct h2_stream *s) {
        struct h2_connection *c = s->connection;

        if (c->cursor == s)
                c->cursor = s->next;
        *s->link = s->next;
        if (s->next)
                s->next->link = s->link;
        s->link = NULL;
        c->stream_count--;
}

static struct h2_stream *stream_of(nghttp2_session *session, int32_t id) {
        return id > 0 ? nghttp2_session_get_stream_user_data(session, id) : NULL;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        struct h2_connection *c = userdata;

        if (c->doomed)
                return NGHTTP2_ERR_CALLBACK_FAILURE;
        if (!c->server || frame->hd.type != NGHTTP2_HEADERS ||
                        frame->headers.cat != NGHTTP2_HCAT_REQUEST)
                return 0;
        struct h2_stream *s = c->queued > UNREAD_MAX
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

static void bad_message(struct h2_stream *s, int code, const char *why) {
        s->deaf = true;
        s->connection->handler->on_bad_message(s, code, why);
}

/* The prefix has come whole. */
static int begin_message(struct h2_connection *c, struct h2_stream *s) {
        char why[128];
        const unsigned char *p = s->prefix;

        if (p[0] != 0) {
                /* Encodings are refused with the headers. */
                (void)snprintf(why, sizeof(why), "grpc: received unexpected payload format %u",
                                p[0]);
                bad_message(s, GRPC_INTERNAL,
                                p[0] == 1 ? "grpc: compressed flag set with identity or empty "
                                            "encoding"
                                          : why);
                return -EBADMSG;
        }
        s->message_size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (s->message_size <= c->message_size_max)
                return 0;
        (void)snprintf(why, sizeof(why), "grpc: received message larger than max (%zu vs. %zu)",
                        s->message_size, c->message_size_max);
        bad_message(s, GRPC_RESOURCE_EXHAUSTED, why);
        return -EMSGSIZE;
}

/* Keeps a part of a message until the rest comes. */
static void keep_part(struct h2_connection *c, struct h2_stream *s, const uint8_t *data, size_t n) {
        if (c->partial_size > PARTIAL_MESSAGES_MAX + c->message_size_max ||
                        buf_append(&s->message, data, n) < 0) {
                bad_message(s, GRPC_RESOURCE_EXHAUSTED,
                                "too many incomplete messages on one connection");
                return;
        }
        c->partial_size += n;
        if (s->message.size < s->message_size)
                return;
        _cleanup_buf_ struct buf whole = s->message;
        s->message = (struct buf){0};
        s->prefix_size = 0;
        c->partial_size -= whole.size;
        c->handler->on_message(s, whole.data, whole.size);
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                size_t n, void *userdata) {
        struct h2_connection *c = userdata;
        struct h2_stream *s = c->doomed ? NULL : stream_of(session, id);

        while (s && !c->doomed && n > 0 && !s->deaf) {
                size_t part = MIN(n, PREFIX_SIZE - s->prefix_size);

                memcpy(s->prefix + s->prefix_size, data, part);
                s->prefix_size += part;
                data += part;
                n -= part;
                if (part > 0 && s->prefix_size == PREFIX_SIZE && begin_message(c, s) < 0)
                        break;
                if (s->prefix_size < PREFIX_SIZE)
                        break;
                part = MIN(n, s->message_size - s->message.size);
                if (part == s->message_size) { /* whole: no copy */
                        s->prefix_size = 0;
                        c->handler->on_message(s, data, part);
                } else if (part > 0)
                        keep_part(c, s, data, part);
                data += part;
                n -= part;
        }
        return c->doomed ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static void on_stream_frame(struct h2_connection *c, struct h2_stream *s, const nghttp2_frame *f) {
        bool end = f->hd.flags & NGHTTP2_FLAG_END_STREAM;

        if (f->hd.type == NGHTTP2_HEADERS)
                c->handler->on_headers(s, end);
        else if (f->hd.type == NGHTTP2_DATA && end && !s->deaf && s->prefix_size > 0)
                bad_message(s, GRPC_INTERNAL, "the stream ended inside of a message");
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

/* A server that has said all it has to say does not wait for the rest of the request. */
static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *userdata) {
        struct h2_connection *c = userdata;

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

int h2_session_new(struct h2_connection *c) {
        const nghttp2_settings_entry settings[] = {
                        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                        c->server ? CONCURRENT_STREAMS_MAX : 0},
                        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
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
        /* Go's gRPC sends a Unix socket's path as :authority, which nghttp2 would refuse as
         * malformed. What matters of a request's headers the server checks itself. */
        if (nghttp2_option_new(&option) != 0) {
                nghttp2_session_callbacks_del(callbacks);
                return -ENOMEM;
        }
        nghttp2_option_set_no_http_messaging(option, c->server);
        /* For priorities, which nobody uses, it would keep thousands of streams that have ended. */
        nghttp2_option_set_no_closed_streams(option, 1);
        r = c->server ? nghttp2_session_server_new3(&c->session, callbacks, c, option, &mem)
                      : nghttp2_session_client_new3(&c->session, callbacks, c, option, &mem);
        nghttp2_option_del(option);
        nghttp2_session_callbacks_del(callbacks);
        if (r != 0)
                return -ENOMEM;
        /* Servers have no ENABLE_PUSH to tell. */
        r = nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings,
                        ELEMENTS(settings) - (c->server ? 1 : 0));
        if (r == 0)
                r = nghttp2_session_set_local_window_size(
                                c->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
        return r == 0 ? 0 : -ENOMEM;
}
