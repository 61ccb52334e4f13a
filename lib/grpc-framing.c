/* Messages out of the bytes of HTTP/2 streams, and into them. A message that comes whole in one
 * piece is passed on without a copy; a part is kept until the rest comes, within a bound for all
 * streams of a connection together (h2_connection.held). The texts of refusals are grpc-go's,
 * because clients match on them. */
#include "lib/grpc-framing.h"

enum { PARTIAL_MESSAGES_MAX = 64 << 20 /* per connection, beyond one whole message */ };

static void bad_message(struct h2_stream *s, const struct grpc_framing_handler *handler,
                enum grpc_code code, const char *why) {
        s->deaf = true;
        handler->on_bad_message(s, code, why);
}

/* The prefix has come whole. Negative when the message was refused. */
static int begin_message(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler) {
        const unsigned char *p = f->prefix;
        char why[128];

        if (p[0] != 0) {
                /* Encodings are refused with the headers. */
                (void)snprintf(why, sizeof(why), "grpc: received unexpected payload format %u",
                                p[0]);
                bad_message(s, handler, GRPC_INTERNAL,
                                p[0] == 1 ? "grpc: compressed flag set with identity or empty "
                                            "encoding"
                                          : why);
                return -EBADMSG;
        }
        f->message_size = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | p[4];
        if (f->message_size <= handler->message_size_max)
                return 0;
        (void)snprintf(why, sizeof(why), "grpc: received message larger than max (%zu vs. %zu)",
                        f->message_size, handler->message_size_max);
        bad_message(s, handler, GRPC_RESOURCE_EXHAUSTED, why);
        return -EMSGSIZE;
}

/* Keeps a part of a message until the rest comes. */
static void keep_part(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler, const uint8_t *data, size_t n) {
        struct h2_connection *c = s->connection;

        assert(f->message.size + n <= f->message_size);
        if (c->held > PARTIAL_MESSAGES_MAX + handler->message_size_max ||
                        buf_append(&f->message, data, n) < 0) {
                bad_message(s, handler, GRPC_RESOURCE_EXHAUSTED,
                                "too many incomplete messages on one connection");
                return;
        }
        c->held += n;
        if (f->message.size < f->message_size)
                return;
        _cleanup_buf_ struct buf whole = f->message;
        f->message = (struct buf){0};
        f->prefix_size = 0;
        assert(c->held >= whole.size);
        c->held -= whole.size;
        handler->on_message(s, whole.data, whole.size);
}

void grpc_framing_take(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler, const void *bytes, size_t n) {
        const struct h2_connection *c = s->connection;
        const uint8_t *data = bytes;

        /* A callback may end the connection, which frees the stream. */
        while (!c->doomed && n > 0 && !s->deaf) {
                size_t part = MIN(n, GRPC_PREFIX_SIZE - f->prefix_size);

                memcpy(f->prefix + f->prefix_size, data, part);
                f->prefix_size += part;
                data += part;
                n -= part;
                if (part > 0 && f->prefix_size == GRPC_PREFIX_SIZE &&
                                begin_message(f, s, handler) < 0)
                        break;
                if (f->prefix_size < GRPC_PREFIX_SIZE)
                        break;
                part = MIN(n, f->message_size - f->message.size);
                if (part == f->message_size) { /* whole: no copy */
                        f->prefix_size = 0;
                        handler->on_message(s, data, part);
                } else if (part > 0)
                        keep_part(f, s, handler, data, part);
                data += part;
                n -= part;
        }
}

bool grpc_framing_is_cut(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler) {
        if (s->deaf || f->prefix_size == 0)
                return false;
        bad_message(s, handler, GRPC_INTERNAL, "the stream ended inside of a message");
        return true;
}

void grpc_framing_prefix(uint8_t ret[static GRPC_PREFIX_SIZE], uint32_t size) {
        ret[0] = 0;
        for (int i = 0; i < 4; i++)
                ret[1 + i] = (uint8_t)(size >> (24 - 8 * i));
}

int grpc_framing_send(const struct grpc_framing *f, struct h2_stream *s, struct bytes *message) {
        uint8_t prefix[GRPC_PREFIX_SIZE];

        if (message->size > UINT32_MAX)
                return -EMSGSIZE;
        grpc_framing_prefix(prefix, (uint32_t)message->size);
        return h2_stream_send(s, prefix, f->raw ? 0 : sizeof(prefix), message);
}

void grpc_framing_done(struct grpc_framing *f, struct h2_stream *s) {
        if (s->connection)
                s->connection->held -= f->message.size;
        buf_done(&f->message);
}
