/* SPDY/3.1 (draft-mbelshe-httpbis-spdy-00 and its 3.1 changes), the server's side, as far as
 * clients of the API use it: streams that the client opens, data both ways, half closes, resets,
 * pings. Without I/O: bytes in, events out, and bytes to send in a buffer.
 *
 * Windows are neither kept nor announced: client-go's library has none, and ends the connection at
 * a WINDOW_UPDATE. The connection's own flow control bounds what is held. Data is passed on as it
 * comes; only control frames are held, and their headers have bounds before and after inflation. */
#pragma once

#include "lib/buf.h"

enum {
        SPDY_CONTROL_MAX = 16 << 10, /* bytes of a control frame */
        SPDY_HEADERS_MAX = 32,
        SPDY_HEADERS_SIZE_MAX = 16 << 10, /* inflated */
        SPDY_STREAMS_MAX = 1024,          /* open at a time */
};

struct spdy_header {
        const char *name, *value;
};
struct spdy_headers {
        size_t count;
        struct spdy_header items[SPDY_HEADERS_MAX];
};
/* The value of a header, NULL when absent; names are compared without case. */
const char *spdy_header(const struct spdy_headers *h, const char *name);

/* Each returns negative to end the connection. Frames may be queued in them. */
struct spdy_events {
        int (*on_stream)(uint32_t id, const struct spdy_headers *headers, void *userdata);
        int (*on_data)(uint32_t id, const void *data, size_t n, void *userdata);
        /* The client sends nothing more on this stream. */
        int (*on_fin)(uint32_t id, void *userdata);
        /* The stream is over, both ways. */
        int (*on_reset)(uint32_t id, void *userdata);
        int (*on_goaway)(void *userdata);
};

enum { SPDY_PROTOCOL_ERROR = 1, SPDY_REFUSED_STREAM = 3, SPDY_CANCEL = 5 };

struct spdy;
int spdy_new(struct spdy **ret, const struct spdy_events *events, void *userdata);
struct spdy *spdy_free(struct spdy *s);
DEFINE_CLEANUP(struct spdy *, spdy_free);
/* -EPROTO: not SPDY; -E2BIG: beyond a bound; -ENOMEM; or what an event returned. After an error the
 * connection is of no use. */
int spdy_feed(struct spdy *s, const void *data, size_t n);
/* The answer that a client waits for when it has opened a stream. */
int spdy_reply(struct spdy *s, uint32_t id);
/* Nothing happens for a stream that has been reset or ended. */
int spdy_data(struct spdy *s, uint32_t id, const void *data, size_t n);
int spdy_fin(struct spdy *s, uint32_t id);
int spdy_reset(struct spdy *s, uint32_t id, uint32_t status);
int spdy_goaway(struct spdy *s);
/* Bytes to be sent; the caller consumes them. */
struct buf *spdy_output(struct spdy *s);
/* Streams that are open in one direction or both. */
size_t spdy_streams(const struct spdy *s);
