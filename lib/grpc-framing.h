/* gRPC's messages on an HTTP/2 stream (the protocol page "gRPC over HTTP2"): each behind five
 * bytes, one for its compression (none here) and four for its size. For the gRPC server and client.
 */
#pragma once

#include "lib/grpc.h"
#include "lib/h2.h"

enum { GRPC_PREFIX_SIZE = 5 };

/* The messages of one stream; zeroed memory is a new one. */
struct grpc_framing {
        unsigned char prefix[GRPC_PREFIX_SIZE];
        size_t prefix_size;  /* how much of it has come */
        size_t message_size; /* as the prefix said */
        struct buf message;  /* the received part of an incomplete message */
        bool raw;            /* sent data has its own framing */
};

/* One user's side. Both may end the connection. */
struct grpc_framing_handler {
        size_t message_size_max;
        /* A whole message, borrowed for the call. */
        void (*on_message)(struct h2_stream *s, const void *data, size_t n);
        /* A message cannot be taken; nothing further is read from the stream. */
        void (*on_bad_message)(struct h2_stream *s, enum grpc_code code, const char *why);
};

/* Bytes of the stream's body, as h2's on_data gives them. */
void grpc_framing_take(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler, const void *data, size_t n);
/* The body has ended: true when that was inside of a message; on_bad_message was called then. */
bool grpc_framing_is_cut(struct grpc_framing *f, struct h2_stream *s,
                const struct grpc_framing_handler *handler);
/* Queues a message (takes a reference), or in raw mode the bytes as they are. As h2_stream_send().
 */
int grpc_framing_send(const struct grpc_framing *f, struct h2_stream *s, struct bytes *message);
/* The five bytes before a message of a size. */
void grpc_framing_prefix(uint8_t ret[static GRPC_PREFIX_SIZE], uint32_t size);
/* Frees the kept data; before h2_stream_done(). */
void grpc_framing_done(struct grpc_framing *f, struct h2_stream *s);
