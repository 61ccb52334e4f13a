/* A client's side of exec, attach or port-forward in whichever protocol it chose, in neutral terms:
 * what it sends becomes events, what it is sent becomes bytes. Pure. */
#pragma once

#include "kapid/streams/negotiate.h"
#include "lib/buf.h"

/* Each returns negative to end the connection. id: of a forwarded connection, given by on_open. */
struct client_events {
        int (*on_stdin)(const void *data, size_t n, void *userdata);
        int (*on_stdin_end)(void *userdata);
        int (*on_resize)(uint16_t columns, uint16_t rows, void *userdata);
        int (*on_open)(uint32_t id, uint16_t port, void *userdata);
        int (*on_data)(uint32_t id, const void *data, size_t n, void *userdata);
        int (*on_end)(uint32_t id, void *userdata);
        int (*on_reset)(uint32_t id, void *userdata);
};

enum {
        CLIENT_STDIN = 1 << 0,
        CLIENT_STDOUT = 1 << 1,
        CLIENT_STDERR = 1 << 2,
        CLIENT_TTY = 1 << 3,
};
enum { CLIENT_PORTS_MAX = 64, CLIENT_FORWARDS_MAX = 256 };

struct client_setup {
        enum stream_protocol protocol;
        unsigned streams;      /* of exec and attach */
        const uint16_t *ports; /* of PROTOCOL_FORWARD and _V5; at most CLIENT_PORTS_MAX */
        size_t port_count;
};

struct stream_client;
/* events is borrowed. */
int stream_client_new(struct stream_client **ret, const struct client_setup *setup,
                const struct client_events *events, void *userdata);
struct stream_client *stream_client_free(struct stream_client *c);
DEFINE_CLEANUP(struct stream_client *, stream_client_free);
/* The connection is open: the first bytes, and the ports that are known already. */
int stream_client_begin(struct stream_client *c);
/* Bytes that came. -EPROTO, -E2BIG, -ENOMEM, or what an event returned. */
int stream_client_feed(struct stream_client *c, const void *data, size_t n);
/* Whether it takes output: a client of SPDY opens its streams first. */
bool stream_client_is_ready(const struct stream_client *c);
/* Whether it has said that it sends nothing more. */
bool stream_client_has_ended(const struct stream_client *c);
int stream_client_stdout(struct stream_client *c, const void *data, size_t n);
int stream_client_stderr(struct stream_client *c, const void *data, size_t n);
/* The end of exec and attach: a Status as JSON text, and the end of all streams. */
int stream_client_finish(struct stream_client *c, const char *status);
/* Of a forwarded connection. why NULL: it was closed. */
int stream_client_data(struct stream_client *c, uint32_t id, const void *data, size_t n);
int stream_client_end(struct stream_client *c, uint32_t id);
int stream_client_refuse(struct stream_client *c, uint32_t id, const char *why);
/* Forwarding is over: no connection is left, or the node has gone. */
int stream_client_close(struct stream_client *c);
/* Keeps the connection from being taken for dead. Nothing for plain SPDY. */
int stream_client_ping(struct stream_client *c);
/* Bytes to be sent; the caller consumes them. */
struct buf *stream_client_output(struct stream_client *c);
/* How much of the output from there on, where a message begins, is that message. */
size_t stream_client_message_size(struct stream_client *c, size_t offset);
