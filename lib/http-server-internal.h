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

#include "lib/http-server.h"
#include "lib/map.h"
#include "lib/net.h"
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

/* One accepted connection; lives as long as libmicrohttpd's. */
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
        char address[NET_ADDRESS_SIZE];
        bool peer_known;
        struct http_request *request; /* that libmicrohttpd has not ended */
        struct tls_transport transport;
        int fd;
};

struct http_query {
        char *name, *value;
};

struct http_request {
        struct http_server *server;
        struct http_connection *connection; /* from its first call on */
        struct http_connection *carrier;    /* the same, from the target on */
        struct MHD_Connection *mhd;
        struct http_request *next, **link; /* of the server's requests */
        enum request_state state;
        char *path, *query_text;
        struct http_query *query;
        size_t query_count;
        const char *method; /* borrowed from libmicrohttpd */
        struct buf body;
        bool too_large;
        bool drop; /* the program does not want the body */
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
        struct http_header_pair *headers; /* to add to the answer */
        size_t header_count;
        struct MHD_Response *response;
        unsigned code;
        struct http_stream *stream;
        struct http_upgrade *upgrade;
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

struct http_header_pair {
        char *name, *value;
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
};

struct http_server {
        sd_event *event;
        struct MHD_Daemon *mhd;
        sd_event_source *io, *timer, *soon;
        struct http_server_options options;
        struct tls_context *tls;
        char *client_ca; /* kept for rotation */
        char *unix_path;
        int listen_fd;
        uint16_t port;
        bool running;        /* inside MHD_run() */
        uint64_t progress;   /* grows with whatever a run does */
        uint64_t backoff_us; /* between runs that do nothing */
        bool stopping;
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
        TAILQ_HEAD(upgrade_list, http_upgrade) opened; /* on_open is due */
};

/* MHD_run() in the next turn of the loop: many resumed connections, one run. */
void http_server_run_soon(struct http_server *s);
/* Watches a suspended connection for the client's end. */
int http_request_watch(struct http_request *r);
/* Frees what libmicrohttpd no longer needs. */
void http_request_end(struct http_request *r);
int http_request_parse_target(struct http_request *r, const char *target);
/* Gives the response to libmicrohttpd: at once inside the handler, else by resuming. Takes
 * response. */
void http_request_answer(struct http_request *r, unsigned code, struct MHD_Response *response);
/* Connections of strangers, and bodies by account (http-limits.c). */
int http_limits_init(struct http_server *s);
void http_limits_done(struct http_server *s);
void http_limits_begin(struct http_connection *c);
void http_limits_end(struct http_connection *c);
void http_limits_trust(struct http_connection *c);
void http_limits_answered(struct http_connection *c);
int http_limits_account(struct http_request *r, const char *name);
/* -ENOBUFS: no room for n more bytes of a body. */
int http_limits_reserve(struct http_request *r, size_t n);
void http_limits_received(struct http_request *r);
void http_limits_release(struct http_request *r);
void http_streams_tell_drained(struct http_server *s);
/* The request has ended: notifies the program if it still holds the stream. NULL is fine. */
void http_stream_detach(struct http_stream *s);
/* Calls on_open of those that were opened in the last run of libmicrohttpd. */
void http_upgrades_tell_open(struct http_server *server);
/* Notifies the program, if it has the handle, and closes the connection. NULL is fine. */
void http_upgrade_stop(struct http_upgrade *u);
/* The request has ended. NULL is fine. */
void http_upgrade_detach(struct http_upgrade *u);
