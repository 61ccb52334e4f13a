/* An HTTP server inside an sd-event loop, one thread: libmicrohttpd 0.9.75 behind it for HTTP/1.1,
 * lib/h2.h for HTTP/2 where a client offers it with TLS (ALPN). A request is passed on when its
 * body has arrived whole; the handler answers at once or later, with a body or with a stream. TLS
 * with optional client certificates, or a Unix socket with peer credentials. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/buf.h"
#include "lib/problem.h"
#include "lib/tls.h"

struct parallel;
struct http_server;
struct http_request;
struct http_stream;

/* Called once per request, body complete. The handler must answer each request exactly once, now or
 * later: http_respond*() or http_stream_begin(). The request stays valid until answered; if the
 * client disconnects first, http_request_on_gone reports it. */
typedef void (*http_handler)(struct http_request *req, void *userdata);

/* How a request's body is handled. */
enum http_admission {
        HTTP_READ_BODY,
        HTTP_DROP_BODY, /* the handler is called without one, sooner: the request will be refused */
};

struct http_server_options {
        const char *host;      /* numeric address or NULL for every one; with port */
        uint16_t port;         /* 0: the kernel picks one, see http_server_port() */
        const char *unix_path; /* instead of host and port; mode 0600 unless unix_mode is set */
        unsigned unix_mode;
        bool guests_only;     /* listens nowhere: connections come by http_server_add() */
        const char *tls_cert; /* PEM texts (not paths); NULL: no TLS */
        const char *tls_key;
        /* Presented client certificates are verified against it; NULL: none is asked for. */
        const char *tls_client_ca;
        /* The files of the three texts: replaced files serve new connections. NULL: the texts stay.
         */
        const struct tls_files *tls_files;
        bool http2;                 /* beside HTTP/1.1; with TLS only. An upgrade needs HTTP/1.1 */
        unsigned http2_streams_max; /* requests at a time on one of its connections; 0: 250 */
        /* Encrypts and sends to many clients at a time; it outlives the server. NULL: the loop's
         * thread does. */
        struct parallel *parallel;
        size_t gzip_above;    /* larger bodies are compressed for those who take it; 0: none is */
        size_t body_size_max; /* 413 above; 0: 3 MiB */
        unsigned idle_timeout_s;  /* 0: 75 */
        unsigned connections_max; /* 0: 10000; a fourth for strangers, half for one address */
        http_handler handler;
        /* Called when a request's head has come, before its body: the place to find out who asks
         * (then http_request_trust()) and whether the answer needs a body. NULL: bodies are read
         * for everyone. The request must not be answered in it. */
        enum http_admission (*admit)(struct http_request *req, void *userdata);
        /* Forms the body of refusals made before the handler (413, 400). NULL: plain text. */
        void (*reject)(struct http_request *req, int code, const char *why, void *userdata);
        void *userdata;
};

/* -EADDRINUSE, -EACCES ... with p naming address and remedy. */
int http_server_new(struct http_server **ret, sd_event *event,
                const struct http_server_options *options, struct problem *p);
/* Stops listening and ends every connection; on_gone callbacks run. */
struct http_server *http_server_free(struct http_server *s);
DEFINE_CLEANUP(struct http_server *, http_server_free);
uint16_t http_server_port(const struct http_server *s);
/* Takes a connected socket, as if it had been accepted; no TLS. */
int http_server_add(struct http_server *s, int fd);
/* Stops accepting; requests in flight continue. Clients of HTTP/2 learn that they should use
 * another connection for the next one. */
void http_server_stop_accepting(struct http_server *s);
/* Replaces the server certificate for new connections (rotation). */
int http_server_set_certificate(struct http_server *s, const char *tls_cert, const char *tls_key);

/* All borrow from the request. */
const char *http_request_method(const struct http_request *r);
/* As it came, without the query: not percent-decoded. */
const char *http_request_path(const struct http_request *r);
/* A parameter's value, decoded; NULL when absent. */
const char *http_request_query(const struct http_request *r, const char *name);
/* Every value of a repeated query parameter: i-th, NULL past the end. */
const char *http_request_query_at(const struct http_request *r, const char *name, size_t i);
/* The whole query as it came, "" when there is none. */
const char *http_request_query_text(const struct http_request *r);
const char *http_request_header(const struct http_request *r, const char *name); /* case-less */
const char *http_request_header_at(const struct http_request *r, const char *name, size_t i);
/* The i-th header whose name begins with the prefix (case-less): the rest of its name, and its
 * value in *ret_value. NULL past the end. */
const char *http_request_header_prefixed(
                const struct http_request *r, const char *prefix, size_t i, const char **ret_value);
/* NUL-terminated beyond its size. */
const char *http_request_body(const struct http_request *r, size_t *ret_size);

struct http_peer {
        bool unix_socket;
        uid_t uid; /* Unix socket only */
        pid_t pid;
        bool certificate;                /* a client certificate was presented and verified */
        const char *certificate_problem; /* one was presented but not verified: why; else NULL */
        const char *cn;                  /* its subject's common name, UTF-8 */
        char *const *organizations;      /* its subject's O values */
        const char *fingerprint;         /* SHA-256 of the certificate, hex; NULL when none */
        uint64_t not_after_s;            /* its end, seconds since the epoch */
        const char *address;             /* "10.0.0.1:5000" or "@unix" */
};
const struct http_peer *http_request_peer(const struct http_request *r);
/* Whether an authority of the PEM text signed the client's certificate, whether tls_client_ca did
 * or not: 1 with its common name (borrowed; NULL: it has none), 0, or an error. generation: of the
 * text, above 0; each is looked at once a connection. */
int http_request_signed_by(const struct http_request *r, const char *ca_pem, uint64_t generation,
                const char **ret_cn);

/* In admit: it is known who asks. The connection no longer counts among the strangers', who have
 * little room and time; bodies are counted by account ("" shared by all without one). */
void http_request_trust(struct http_request *r, const char *account);
/* Connections that nobody is known for, and how many of them had to go so far. */
size_t http_server_strangers(const struct http_server *s);
uint64_t http_server_ended(const struct http_server *s);
/* Connections of HTTP/2. */
size_t http_server_http2(const struct http_server *s);
/* Bytes of bodies that are held now. */
size_t http_server_bodies(const struct http_server *s);

/* A pointer of the program's own, with a destructor run when the request ends. */
void http_request_set_userdata(struct http_request *r, void *userdata, void (*free_func)(void *));
void *http_request_userdata(const struct http_request *r);
/* Called if the client goes away before the answer; after it the request is invalid and must not be
 * answered. */
void http_request_on_gone(struct http_request *r,
                void (*func)(struct http_request *r, void *userdata), void *userdata);
/* Breaks the connection, of HTTP/2 the request's stream, as if the client had left: on_gone
 * follows. */
void http_request_hang_up(struct http_request *r);
/* How many bytes of other answers wait on its connection for a client that has not read them. */
size_t http_request_unread(const struct http_request *r);

/* Adds a header to the answer; before http_respond / http_stream_begin. */
int http_response_header(struct http_request *r, const char *name, const char *value);
/* Answers. Copies the body. After it the request is gone. */
void http_respond(struct http_request *r, int code, const char *content_type, const void *body,
                size_t n);
/* The same without a copy; takes a reference on body. */
void http_respond_bytes(
                struct http_request *r, int code, const char *content_type, struct bytes *body);

/* The same with several in a row, as one body. Takes a reference on each. */
void http_respond_pieces(struct http_request *r, int code, const char *content_type,
                struct bytes **pieces, size_t n);

/* Answers with a chunked stream; headers go out at once. on_gone is called once when the client has
 * gone or the server stops, not after http_stream_end(). NULL when out of memory (the request is
 * answered 500). After it the request is gone. */
typedef void (*http_stream_func)(struct http_stream *s, void *userdata);
struct http_stream *http_stream_begin(struct http_request *r, int code, const char *content_type,
                size_t queued_bytes_max, http_stream_func on_gone, void *userdata);
/* Queues bytes (takes a reference). -ENOBUFS when the client is too slow: more than
 * queued_bytes_max would wait; the caller then ends or aborts the stream. */
int http_stream_write(struct http_stream *s, struct bytes *b);
int http_stream_write_copy(struct http_stream *s, const void *data, size_t n);
size_t http_stream_queued(const struct http_stream *s);
/* Called each time the queue has become empty: the place to produce more (flow control). NULL:
 * nothing waits for it. */
void http_stream_on_drained(struct http_stream *s, http_stream_func func, void *userdata);
/* Sends the queued data, then the final chunk. The handle is gone. */
void http_stream_end(struct http_stream *s);
/* Breaks the connection without a final chunk, of HTTP/2 the stream alone, so that the reader sees
 * a broken stream. The handle is gone. */
void http_stream_abort(struct http_stream *s);

/* Leaves HTTP: answers 101 (Upgrade and other headers by http_response_header() before), and gives
 * the connection to the program. After it the request is gone. */
struct http_upgrade;
struct http_upgrade_handler {
        /* Once: fd is for waiting only, and borrowed until http_upgrade_end() or on_gone. data:
         * bytes that came with the request. */
        void (*on_open)(struct http_upgrade *u, int fd, const void *data, size_t n, void *userdata);
        /* Instead, or later: the client left before on_open, or the server stops. The handle is
         * gone. */
        void (*on_gone)(struct http_upgrade *u, void *userdata);
};
/* NULL when out of memory (the request is answered 500), or by HTTP/2 (505). handler is
 * borrowed. */
struct http_upgrade *http_upgrade_begin(
                struct http_request *r, const struct http_upgrade_handler *handler, void *userdata);
/* The connection's bytes, plain also where there is TLS; from on_open on. -EAGAIN; 0 at the end.
 * TLS may hold more than fd shows: read until there is no more. A write that was not done is
 * repeated with the same bytes. */
ssize_t http_upgrade_read(struct http_upgrade *u, void *p, size_t n);
ssize_t http_upgrade_write(struct http_upgrade *u, const void *p, size_t n);
/* Closes the connection; what was written is still sent. The handle is gone. */
void http_upgrade_end(struct http_upgrade *u);
