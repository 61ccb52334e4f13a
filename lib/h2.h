/* HTTP/2 connections (RFC 9113), for both sides: sockets and TLS without blocking, one write per
 * turn of the loop and connection, streams with flow control and deadlines. nghttp2 is behind it
 * (h2-session.c). The user of a stream interprets its bytes: gRPC's messages are
 * grpc-framing's. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/buf.h"
#include "lib/pool.h"
#include "lib/problem.h"
#include "lib/tls.h"

struct nghttp2_session;
struct parallel;
struct h2_connection;
struct h2_stream;

/* One per server or channel. */
struct h2_loop {
        sd_event *event;
        sd_event_source *flush, *timer;
        int64_t priority;            /* of what its connections read, while that is little */
        struct pool *pool;           /* for what lives as long as a call */
        struct parallel *parallel;   /* writes to many connections; the user's. NULL: none */
        struct h2_connection *dirty; /* have something to write */
        struct buf spare;            /* memory of a large flush, for the next one */
        uint64_t wake_us;            /* when the timer goes off; UINT64_MAX: never */
        void (*on_deadline)(struct h2_loop *loop, uint64_t now_us);
};

int h2_loop_init(struct h2_loop *loop, sd_event *event,
                void (*on_deadline)(struct h2_loop *loop, uint64_t now_us));
void h2_loop_done(struct h2_loop *loop);
/* on_deadline runs then, or earlier. */
void h2_loop_wake_at(struct h2_loop *loop, uint64_t when_us);
uint64_t h2_now_us(void);

enum h2_state {
        H2_CONNECTING, /* client: the socket */
        H2_HANDSHAKE,  /* TLS */
        H2_PREFACE,    /* server: whether it is HTTP/2 at all */
        H2_OPEN,
        H2_BROKEN, /* being taken down; streams can only be closed */
};

/* What a server asks of its clients, and grants them. The zero of a field: as for gRPC. */
struct h2_terms {
        uint32_t streams_max;       /* at a time */
        uint32_t stream_window;     /* bytes that a client may send before they are taken */
        uint32_t connection_window; /* the same of all its streams */
        size_t queued_max;          /* bytes of a stream that wait to be sent */
        size_t unread_max;          /* of a connection: beyond it, requests are refused */
        bool strict;   /* requests that RFC 9113 section 8 calls malformed are refused */
        bool any_peer; /* certificates are asked for; the user verifies them */
        /* Frames that cost a client nothing (resets of its requests, pings, settings, priorities,
         * empty ones) may come at this rate, and so many more at once. Beyond it the connection
         * ends with ENHANCE_YOUR_CALM. 0: unbounded. */
        unsigned idle_frames_per_s, idle_frames_at_once;
};

/* A user of connections. Every function but on_broken may be called inside of nghttp2: new frames
 * may be submitted there, and streams closed. */
struct h2_handler {
        const struct h2_terms *terms; /* NULL: as for gRPC */
        /* A request begins; NULL refuses it. Servers only. */
        struct h2_stream *(*on_request)(struct h2_connection *c, int32_t id);
        /* One header; name and value are NUL-terminated. Negative: refuse the stream. */
        int (*on_header)(struct h2_stream *s, const char *name, const char *value);
        /* The header block is complete (first headers, or trailers). */
        void (*on_headers)(struct h2_stream *s, bool end);
        /* Bytes of the body, as the frames brought them. */
        void (*on_data)(struct h2_stream *s, const void *data, size_t n);
        /* The other side sends nothing more. */
        void (*on_remote_end)(struct h2_stream *s);
        /* The last queued piece has been taken and the stream is to end: returns 1 after submitting
         * trailers, 0 to end without. */
        int (*on_local_end)(struct h2_stream *s);
        void (*on_drained)(struct h2_stream *s);
        /* Its deadline has passed. */
        void (*on_expired)(struct h2_stream *s);
        /* The stream is over, error is an HTTP/2 code; it is unlinked already: free it. */
        void (*on_closed)(struct h2_stream *s, uint32_t error);
        /* The connection is ready for requests. Clients only. */
        void (*on_open)(struct h2_connection *c);
        void (*on_goaway)(struct h2_connection *c);
        /* Not HTTP/2: takes the socket, the TLS stream (NULL: none) and the bytes that were read.
         * on_broken follows. Servers; NULL: such peers are not expected. */
        void (*on_stranger)(struct h2_connection *c, int fd, struct tls_stream *tls,
                        const void *data, size_t n);
        /* The connection has ended. on_closed for its streams follows, then it is freed. */
        void (*on_broken)(struct h2_connection *c, const char *why);
};

struct h2_connection {
        struct h2_loop *loop;
        const struct h2_handler *handler;
        void *owner;
        struct h2_connection *next, **link; /* the owner's list */
        struct h2_connection *dirty_next, **dirty_link;
        int fd;
        sd_event_source *io;
        uint32_t io_events;
        bool read_more; /* reading stopped before the socket was empty */
        struct tls_stream *tls;
        struct nghttp2_session *session;
        struct pool *pool; /* the loop's; the session may outlive that */
        struct h2_stream *streams,
                        *cursor; /* cursor: next stream of a walk that may close streams */
        size_t stream_count;
        enum h2_state state;
        bool server;
        unsigned busy; /* inside of it: freed by the outermost frame */
        bool doomed;
        struct buf out;
        size_t out_offset;
        struct h2_stream *drained; /* on_drained is due */
        size_t held;               /* what its streams' user keeps of what came, in bytes */
        size_t queued;             /* bytes to send, of all streams */
        uint64_t written;          /* bytes that the socket has taken */
        uint64_t deadline_us, received_us, pinged_us;
        uint64_t round_trip_us, round_trips; /* the last ping's, and how many were answered */
        char first[4];                       /* of the preface, until it is known for one */
        size_t first_size;
        bool pinged, settled;    /* settled: the peer's first frame has come */
        bool goes_away;          /* takes no further requests */
        uint64_t notice_us;      /* when the client was told that it will not; 0: it was not */
        uint64_t idle_frames_us; /* see lib/h2-calm.h */
};

enum { H2_HEAD_MAX = 7 };
/* Bytes to send: a few of the stream's own, then shared ones. */
struct h2_piece {
        struct bytes *body;
        uint8_t head[H2_HEAD_MAX], head_size;
};

/* Embedded at the start of a request. */
struct h2_stream {
        struct h2_connection *connection;
        struct h2_stream *next, **link;
        struct h2_stream *drained_next, **drained_link;
        int32_t id;
        struct h2_piece few[4], *ring; /* to send; the ring begins as the few */
        size_t ring_size, head, count, offset, queued;
        uint64_t taken; /* bytes that were sent, or are about to be */
        bool waits;     /* nghttp2 was notified that there is nothing to send yet */
        bool ending;    /* ends after the queued data */
        bool deaf;      /* further data is dropped */
        uint64_t deadline_us;
};

enum { H2_NOTICE_US = 1000 * 1000 };
enum h2_role { H2_CLIENT, H2_SERVER };

/* Takes the socket. tls may be NULL; server_name is the name that a client expects, NULL for a
 * server. A client's socket may be still connecting. */
int h2_connection_new(struct h2_connection **ret, struct h2_loop *loop,
                const struct h2_handler *handler, void *owner, int fd, struct tls_context *tls,
                const char *server_name, enum h2_role role);
/* Ends it: on_closed for every stream, but no on_broken. Allowed in every callback. */
struct h2_connection *h2_connection_free(struct h2_connection *c);
/* Sends GOAWAY, writes what can be written, frees. */
void h2_connection_shutdown(struct h2_connection *c);
/* Tells the client by GOAWAY to take further requests elsewhere. Those that it sent before it knew
 * are still served: after H2_NOTICE_US (h2_connection_check) a second GOAWAY names the last one,
 * and the connection ends with the last of those under way (RFC 9113 section 6.8). */
void h2_connection_go_away(struct h2_connection *c);
/* Bytes wait for a socket that takes none. */
bool h2_connection_is_stuck(const struct h2_connection *c);
/* The identity in the client's certificate (lib/tls.h); empty without TLS. */
int h2_connection_peer(const struct h2_connection *c, struct tls_peer *ret);
/* As tls_peer_signed_by(). */
int h2_connection_signed_by(
                const struct h2_connection *c, const char *ca_pem, struct tls_peer *ret);
/* Something was submitted to the session: it is written in the next turn of the loop. */
void h2_connection_dirty(struct h2_connection *c);
/* Handshakes and streams whose time has passed; lowers *next_us to the next deadline. The
 * connection may be gone after it. */
void h2_connection_check(struct h2_connection *c, uint64_t now_us, uint64_t *next_us);
void h2_connection_ping(struct h2_connection *c);
/* Ends it as if it had broken: on_broken and on_closed are called. */
void h2_connection_fail(struct h2_connection *c, const char *why);

void h2_stream_link(struct h2_stream *s, struct h2_connection *c, int32_t id);
/* Unlinks and frees what the stream itself holds. */
void h2_stream_done(struct h2_stream *s);
/* Queues head_size bytes (at most H2_HEAD_MAX) and a body (takes a reference). -ENOBUFS above the
 * bound, -ENOMEM. */
int h2_stream_send(struct h2_stream *s, const void *head, size_t head_size, struct bytes *body);
/* Nothing more to send: the stream ends after the queued data. */
void h2_stream_end(struct h2_stream *s);
/* Drops pieces that have not been started. */
void h2_stream_drop_unsent(struct h2_stream *s);
/* Whether the queued data waits for the peer's window. */
bool h2_stream_is_blocked(struct h2_stream *s);
void h2_stream_reset(struct h2_stream *s, uint32_t error);
/* Submits a request (clients; returns the new stream's id) or a response with the queued pieces. */
struct h2_header {
        const char *name, *value;
};
int h2_submit_request(struct h2_connection *c, struct h2_stream *s, const struct h2_header *headers,
                size_t n);
/* with_body false: the headers end the stream. */
int h2_submit_response(
                struct h2_stream *s, const struct h2_header *headers, size_t n, bool with_body);
int h2_submit_trailers(struct h2_stream *s, const struct h2_header *headers, size_t n);

enum { H2_QUEUED_MAX = 16 << 20, H2_HEADERS_MAX = 72, H2_HEADERS_SIZE_MAX = 32 << 10 };
enum {
        H2_NO_ERROR = 0,
        H2_INTERNAL_ERROR = 2,
        H2_REFUSED_STREAM = 7,
        H2_CANCEL = 8,
        H2_ENHANCE_YOUR_CALM = 11
};
