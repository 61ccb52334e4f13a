/* WebSocket (RFC 6455) without I/O: bytes of a connection in, messages out, and back. wslay is
 * behind it. Messages are passed on in pieces as they come, so none is too long. For both sides. */
#pragma once

#include "lib/buf.h"

struct websocket;

enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT };

/* One piece of a message. Returns negative to end the connection. */
enum { WEBSOCKET_FIRST = 1 << 0, WEBSOCKET_LAST = 1 << 1 };
typedef int (*websocket_func)(const void *data, size_t n, unsigned flags, void *userdata);

int websocket_new(struct websocket **ret, enum websocket_role role, websocket_func on_piece,
                void *userdata);
struct websocket *websocket_free(struct websocket *w);
DEFINE_CLEANUP(struct websocket *, websocket_free);
/* Bytes that came. Pings and closing are answered by itself. -EPROTO for what is not WebSocket, or
 * what on_piece returned. */
int websocket_feed(struct websocket *w, const void *data, size_t n);
/* Queues one binary message: the first `head_size` bytes, then the others. */
int websocket_send(struct websocket *w, const void *head, size_t head_size, const void *data,
                size_t n);
int websocket_ping(struct websocket *w);
/* Queues a close with this code (1000: done); nothing may be sent after it. */
int websocket_close(struct websocket *w, uint16_t code);
/* Whether the other side has sent its close. */
bool websocket_has_ended(const struct websocket *w);
/* Bytes to be sent; the caller consumes them. */
struct buf *websocket_output(struct websocket *w);
/* The size of the frame that a server's bytes begin with, which may be more than n; n when its head
 * is not whole. */
size_t websocket_frame_size(const void *data, size_t n);

enum { WEBSOCKET_KEY_SIZE = 25, WEBSOCKET_ACCEPT_SIZE = 29 };
/* A random Sec-WebSocket-Key. */
int websocket_make_key(char ret[static WEBSOCKET_KEY_SIZE]);
/* Sec-WebSocket-Accept for a key. -EINVAL when the key is not one. */
int websocket_accept(const char *key, char ret[static WEBSOCKET_ACCEPT_SIZE]);
