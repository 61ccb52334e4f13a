/* Between the files of the HTTP server: connections, requests and streams, and who may touch what.
 *
 *   first call of the handler by libmicrohttpd -> RECEIVING -> (body whole) -> program's handler
 *     answered inside it: ANSWERED          -> queued at once
 *     else: WAITING, connection suspended   -> http_respond: resumed, ANSWERED, queued
 *                                           -> client gone: on_gone, resumed, GONE, connection
 * closed
 */
#pragma once

#include <microhttpd.h>
#include <sys/queue.h>

#include "lib/h2.h"
#include "lib/http-gzip.h"
#include "lib/http-server.h"
#include "lib/loop-turn.h"
#include "lib/map.h"
#include "lib/net.h"
#include "lib/parallel.h"
#include "lib/timefmt.h"
#include "lib/tls.h"

enum { STREAM_RING_MIN = 8 };

enum request_state {
        REQUEST_RECEIVING,
        REQUEST_HANDLING, /* inside the program's handler */
        REQUEST_WAITING,  /* suspended until the program answers */
        REQUEST_ANSWERED, /* response set; libmicrohttpd sends it */
        REQUEST_GONE,     /* the client left before the answer */
};

/* One accepted connection; lives as long as libmicrohttpd's, or HTTP/2's. */
struct http_connection {
        struct http_server *server;
        TAILQ_ENTRY(http_connection)
        entry; /* of the server's strangers, in the order of deadlines */
        bool stranger;
        uint64_t deadline_us;
        char host[NET_ADDRESS_SIZE];
        struct tls_context *tls; /* the credentials its session borrows */
        struct http_peer peer;
        struct tls_peer certificate;
        struct tls_peer signer;     /* the same for another authority; verified: it is of it */
        uint64_t signer_generation; /* that was looked at; 0: none */
        uint64_t signer_us;         /* and when */
        char address[NET_ADDRESS_SIZE];
        bool peer_known;
        struct http_request *request; /* that libmicrohttpd has not ended */
        struct tls_transport transport;
        int fd;
        /* http-accept.c: its first bytes are looked at; in the server's list of such */
        sd_event_source *hello;
        TAILQ_ENTRY(http_connection)
        hello_entry;
        /* http2-server.c */
        struct h2_connection *h2; /* NULL: HTTP/1.1 */
        size_t holders;           /* the connection and its requests: the last one frees this */
        size_t served;            /* requests that the program has */
        bool closed;
        uint64_t idle_us, stuck_us; /* since when it has no request; takes no byte, or 0 */
        uint64_t written;           /* at the last look */
        bool joined;                /* counted at its host */
};

struct http_query {
        char *name, *value;
};

struct http_header_pair {
        char *name, *value; /* in one block */
};

struct http_request {
        struct http_server *server;
        struct http_connection *connection; /* from its first call on */
        struct http_connection *carrier;    /* the same, from the target on */
        struct MHD_Connection *mhd;
        struct http_request *next, **link; /* of the server's requests */
        enum request_state state;
        bool seen; /* by the look for requests that wait long */
        char *path, *query_text; /* in one block */
        struct http_query *query;
        size_t query_count;
        const char *method; /* borrowed from libmicrohttpd */
        struct buf body;
        bool too_large;
        bool http11; /* of HTTP/1.1: its streams are chunked */
        bool drop;   /* the program does not want the body */
        bool busy; /* no room for the body */
        struct http_account *account;
        uint64_t receive_until_us; /* 0: nothing of a body is awaited */
        uint64_t discarded;        /* bytes read past the limit */
        size_t reserved;           /* of the server's budget of bodies */
        sd_event_source *hangup;
        void (*on_gone)(struct http_request *r, void *userdata);
        void *on_gone_userdata;
        void *userdata;
        void (*free_func)(void *);
        struct http_header_pair *headers, header_room[4]; /* to add to the answer */
        size_t header_count;
        struct MHD_Response *response;
        unsigned code;
        struct http_stream *stream;
        struct http_upgrade *upgrade;
        struct http2_request *h2; /* NULL: HTTP/1.1 */
};

struct http_upgrade {
        struct http_server *server;
        struct http_request *request;
        TAILQ_ENTRY(http_upgrade) entry; /* of the server's opened ones, while `waiting` */
        bool waiting, released;          /* released: the program no longer has a handle */
        const struct http_upgrade_handler *handler;
        void *userdata;
        struct MHD_UpgradeResponseHandle *urh; /* NULL: not open yet, or given back */
        struct buf extra;
        int fd;
};

enum { HTTP2_HEADERS_MAX = 256, HTTP2_HEADERS_SIZE_MAX = 32 << 10 };

/* What a request has beyond the common part where it came by HTTP/2. */
struct http2_request {
        struct h2_stream stream;
        struct http_request *request; /* in the same block */
        struct buf head;              /* of each header: name, NUL, value, NUL */
        struct h2_header *headers;    /* borrow from it */
        size_t header_count;
        const char *target;
        struct http_gzip *gzip; /* what is left to send; NULL: all is queued */
        bool too_large;         /* the head */
        bool begun;             /* the head was looked at */
        bool served;            /* counted in its connection */
        bool closed, given_up;
        unsigned excess;   /* headers beyond what is kept */
        size_t held;       /* bytes that wait to be compressed, counted in its connection */
        uint64_t taken;    /* of its answer, at the last look */
        uint64_t waits_us; /* since when nothing of it was taken; 0: it moves */
};

struct http_stream {
        struct http_server *server;
        struct http_request *request; /* NULL once libmicrohttpd has ended it */
        struct http_stream *drained_next, **drained_link;
        struct bytes **ring; /* queue of shared bytes */
        size_t ring_size, head, count, offset;
        size_t queued, queued_max;
        http_stream_func on_gone, on_drained;
        void *on_gone_userdata, *on_drained_userdata;
        bool suspended, ended, aborted, released; /* released: the program no longer has a handle */
        struct h2_stream *h2; /* HTTP/2 holds the queue, and this; NULL: HTTP/1.1 */
        /* http-stream-send.c */
        bool chunked; /* its chunks are written there and not by libmicrohttpd */
        bool direct;  /* the head is out, and libmicrohttpd is out of the way */
        bool blocked; /* the socket takes no more; then rest is what it did not take */
        struct buf rest;
        size_t rest_offset;
        TAILQ_ENTRY(http_stream) send_entry; /* of the server's, while `to_send` */
        bool to_send;
};

struct http_server {
        sd_event *event;
        struct MHD_Daemon *mhd;
        sd_event_source *io, *timer, *look;
        struct loop_turn *run_turn;
        bool looking; /* look is set */
        struct http_server_options options;
        struct tls_context *tls;
        char *client_ca; /* kept for rotation */
        char *unix_path;
        int listen_fd;
        uint16_t port;
        bool running;        /* inside MHD_run() */
        struct tls_transport *waiting; /* connections whose bytes wait for the end of the run */
        struct tls_spares spares;
        uint64_t date_s; /* of the text, which is of this second */
        char date[32];
        uint64_t progress;   /* grows with whatever a run does */
        uint64_t backoff_us; /* between runs that do nothing */
        bool stopping, draining;
        /* http-limits.c */
        size_t bodies;    /* bytes of bodies held */
        size_t receiving; /* requests whose bodies are being received */
        TAILQ_HEAD(stranger_list, http_connection) strangers;
        size_t stranger_count;
        uint64_t ended;
        struct map *hosts, *accounts;
        sd_event_source *tick;
        bool ticking;
        struct http_request *requests;
        struct http_stream *drained;
        /* http-stream-send.c */
        TAILQ_HEAD(send_list, http_stream) to_send; /* they have something queued */
        struct loop_turn *send_turn;
        TAILQ_HEAD(upgrade_list, http_upgrade) opened; /* on_open is due */
        /* http-accept.c: where HTTP/2 is served, this accepts and not libmicrohttpd */
        sd_event_source *accept, *accept_again;
        unsigned fresh; /* connections given to libmicrohttpd since it ran */
        TAILQ_HEAD(hello_list, http_connection) hellos;
        size_t hello_count;
        /* http2-server.c */
        struct h2_loop h2_loop;
        struct h2_handler h2_handler;
        struct h2_terms h2_terms;
        struct h2_connection *h2_connections;
        size_t h2_count;
        bool *freed; /* set when the server is freed inside of a walk over its connections */
};

/* MHD_run() in the next turn of the loop: many resumed connections, one run. */
void http_server_run_soon(struct http_server *s);
/* The same for a connection that was given to libmicrohttpd: handshakes take some milliseconds, so
 * it runs at once when some are waiting for theirs. */
void http_server_run_fresh(struct http_server *s);
/* Watches a suspended connection for the client's end. */
int http_request_watch(struct http_request *r);
/* Frees what libmicrohttpd no longer needs. */
void http_request_end(struct http_request *r);
int http_request_parse_target(struct http_request *r, const char *target);
/* Answers by the program's `reject`. */
void http_request_refuse(struct http_request *r, int code, const char *why);
void http_request_refuse_size(struct http_request *r);
void http_request_refuse_busy(struct http_request *r);
/* How much of a body is read on although nobody wants it: most clients send all before they read,
 * and would see a reset in place of the answer. */
uint64_t http_request_discard_max(const struct http_request *r);
/* n bytes of a body: keeps them, or notes why not (too_large, busy). -ENOMEM. */
int http_request_keep(struct http_request *r, const void *data, size_t n);
/* Gives the response to libmicrohttpd: at once inside the handler, else by resuming. Takes
 * response. */
void http_request_answer(struct http_request *r, unsigned code, struct MHD_Response *response);
/* Connections of strangers, and bodies by account (http-limits.c). */
int http_limits_init(struct http_server *s);
void http_limits_done(struct http_server *s);
void http_limits_begin(struct http_connection *c);
void http_limits_end(struct http_connection *c);
void http_limits_trust(struct http_connection *c);
/* Counts a connection of HTTP/2 (libmicrohttpd counts its own): -ENOBUFS when its host has half of
 * all. Ended by http_limits_end(). */
int http_limits_join(struct http_connection *c);
void http_limits_answered(struct http_connection *c);
int http_limits_account(struct http_request *r, const char *name);
/* -ENOBUFS: no room for n more bytes of a body. */
int http_limits_reserve(struct http_request *r, size_t n);
void http_limits_received(struct http_request *r);
void http_limits_release(struct http_request *r);
/* Where HTTP/2 is served (http-accept.c): accepts, and finds out what each client speaks. */
int http_accept_start(struct http_server *s);
void http_accept_stop(struct http_server *s);
/* Whether the server has its connections_max. */
bool http_accept_is_full(const struct http_server *s);
/* HTTP/2: connections and requests (http2-server.c). */
int http2_server_init(struct http_server *s);
/* Clients take further requests elsewhere. */
void http2_server_go_away(struct http_server *s);
void http2_server_done(struct http_server *s);
/* A client that offers it; c holds its socket and becomes the connection's, or is freed. */
void http2_server_take(struct http_server *s, struct http_connection *c);
/* Drops one holder. */
void http_connection_release(struct http_connection *c);
/* Its answers (http2-answer.c). */
void http2_respond(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n);
struct http_stream *http2_stream_begin(struct http_request *r, int code, const char *content_type,
                size_t queued_bytes_max, http_stream_func on_gone, void *userdata);
void http2_answer_failed(struct http_request *r);
/* Its answer is made: that the client has not read it yet no longer keeps the connection. */
void http2_not_served(struct http_request *r);
/* Takes the body. */
void http2_respond_gzip(
                struct http_request *r, int code, const char *content_type, struct http_gzip *body);
/* The queue is empty: the next piece of it. */
void http2_more_gzip(struct http2_request *h);
void http_streams_tell_drained(struct http_server *s);
/* Chunks past libmicrohttpd (http-stream-send.c). In its content reader: from now on. */
int http_stream_send_init(struct http_server *server);
void http_stream_go_direct(struct http_stream *s);
/* Something was queued, or the stream has ended: it is sent in a turn of its own. */
void http_stream_send_later(struct http_stream *s);
/* The socket takes bytes again. */
void http_stream_unblock(struct http_stream *s);
/* Nothing more is sent. */
void http_stream_send_stop(struct http_stream *s);
/* Where in the queue: pieces from its beginning, bytes into the next one. */
struct http_stream_place {
        size_t pieces, offset;
};
/* Copies up to n of the queued bytes from there on, and moves on behind them. Any thread. */
size_t http_stream_peek(
                const struct http_stream *s, struct http_stream_place *at, char *out, size_t n);
/* The first n are no longer queued. */
void http_stream_drop(struct http_stream *s, size_t n);
/* Gives a suspended connection back to libmicrohttpd: the end. */
void http_stream_wake(struct http_stream *s);
void http_stream_note_drained(struct http_stream *s);
/* The request has ended: notifies the program if it still holds the stream. NULL is fine. */
void http_stream_detach(struct http_stream *s);
/* Calls on_open of those that were opened in the last run of libmicrohttpd. */
void http_upgrades_tell_open(struct http_server *server);
/* Notifies the program, if it has the handle, and closes the connection. NULL is fine. */
void http_upgrade_stop(struct http_upgrade *u);
/* The request has ended. NULL is fine. */
void http_upgrade_detach(struct http_upgrade *u);
