/* An HTTP/1.1 client inside an sd-event loop (libcurl with GnuTLS behind it). Connections are kept
 * and reused. Answers come whole, or piece by piece for streams (watch, follow). */
#pragma once

#include <systemd/sd-event.h>

#include "lib/buf.h"
#include "lib/problem.h"
#include "lib/url.h"

struct http_client;
struct http_call;

/* For servers that are not our own API. */
enum http_client_flags {
        HTTP_CLIENT_TLS_1_2 = 1 << 0,     /* also the version before 1.3 */
        HTTP_CLIENT_ANY_SERVER = 1 << 1,  /* the certificate is not checked */
        HTTP_CLIENT_USE_PROXIES = 1 << 2, /* of the environment: HTTPS_PROXY, NO_PROXY, ... */
};

struct http_header {
        const char *name;
        const char *value;
};

struct http_client_options {
        const char *base_url;  /* "https://host:6443"; for a Unix socket "http://localhost" */
        const char *unix_path; /* NULL: TCP */
        const char *ca_pem;    /* PEM texts; NULL: the system's CAs */
        const char *cert_pem;  /* client certificate and key, or NULL */
        const char *key_pem;
        const char *token;           /* bearer token or NULL */
        const char *user_agent;      /* "kctl/0.1.0" */
        const char *tls_server_name; /* verify the server certificate for this name instead; NULL:
                                        host of the URL */
        uint64_t connect_timeout_us; /* 0: 10 s */
        uint64_t timeout_us;         /* of calls that name none; 0: 60 s */
        unsigned user_timeout_ms;    /* sent bytes are acknowledged within; 0: the system's time */
        unsigned flags;              /* enum http_client_flags */
        /* How many calls may be on their way at a time, streams aside; others wait for their turn.
         * A connection with TLS takes a quarter of a megabyte. 0: no limit. For clients with a loop
         */
        unsigned calls_max;
        /* Sent with every call, ended by a NULL name; borrowed for the client's life. NULL: none */
        const struct http_header *headers;
        /* Called when a call has ended, with its HTTP status (0: no answer came) and the monotonic
         * time at which it began. NULL: not wanted
         */
        void (*trace)(const char *method, const char *url, int code, uint64_t began_us);
        /* Before each call; may be NULL. The place for http_client_set_identity(). */
        void (*before_call)(void *userdata);
        /* Called with GnuTLS' session of a new connection before anything of the server is read,
         * and perhaps again later. NULL: not wanted */
        void (*on_session)(void *gnutls_session);
        void *userdata;
};

/* event may be NULL for programs that only use http_client_do(). */
int http_client_new(struct http_client **ret, sd_event *event,
                const struct http_client_options *options);
/* Cancels every call in flight without their callbacks. */
struct http_client *http_client_free(struct http_client *c);
DEFINE_CLEANUP(struct http_client *, http_client_free);

/* Replaces CA, certificate, key and token, any NULL, for calls that begin from now on; those in
 * flight continue over their connections. */
int http_client_set_identity(struct http_client *c, const char *ca_pem, const char *cert_pem,
                const char *key_pem, const char *token);

struct http_result {
        int error; /* 0 when an answer came, else negative errno (-ECONNREFUSED, -ETIMEDOUT,
                      -EHOSTUNREACH, -EKEYREJECTED for TLS, -ECONNRESET) */
        const char *error_text;   /* a sentence for the user when error is set */
        int code;                 /* HTTP status */
        const char *content_type; /* "" when absent */
        const char *body; /* whole, NUL-terminated; for streams what on_data did not get ("") unless
                             code >= 300 */
        size_t body_size;
        int retry_after_s;
        char *const *warnings; /* texts of Warning: 299 headers; NULL when none */
};

struct http_call_options {
        const char *method;                /* "GET" */
        const char *path;                  /* "/api/v1/pods?watch=1", already encoded */
        const struct http_header *headers; /* ended by a NULL name; NULL: none */
        const void *body;                  /* copied */
        size_t body_size;
        const char *content_type; /* of the body */
        const char *accept;       /* NULL: application/json */
        const char *base_url;     /* another server for this call alone; NULL: the client's */
        /* An abstract Unix socket on which the server listens for this call alone; its connection
         * is not used again. NULL: none */
        const char *socket_name;
        uint64_t timeout_us;      /* whole call; 0: 60 s; UINT64_MAX: none (streams) */
        uint64_t idle_timeout_us; /* streams: no byte for this long ends the call with -ETIMEDOUT;
                                     0: never. Without a loop it is rounded up to seconds */
        size_t body_size_max;     /* 0: 256 MiB */
        bool urgent;              /* it does not wait where the client has calls_max */
        /* Called with each header of an answer, but for those that come before it (1xx); may be
         * NULL. */
        void (*on_header)(const char *name, const char *value, void *userdata);
        bool stream_errors; /* on_data gets the bodies of other answers, too */
        /* Stream: called with pieces of a 2xx body as they come; a negative return ends the call
         * with that error. */
        int (*on_headers)(struct http_call *call, int code, void *userdata);
        int (*on_data)(struct http_call *call, const char *data, size_t n, void *userdata);
        /* Called exactly once unless cancelled; the call is gone after it. Borrows the result. */
        void (*on_done)(struct http_call *call, const struct http_result *result, void *userdata);
        void *userdata;
};

/* Starts a call. ret_call may be NULL. */
int http_call_start(struct http_client *c, const struct http_call_options *options,
                struct http_call **ret_call);
/* Ends it without its callback. NULL is fine; returns NULL. Allowed inside its own on_header,
 * on_headers and on_data (on_done is then not called). */
struct http_call *http_call_cancel(struct http_call *call);
/* For a stream whose receiver cannot keep up: until it is resumed, on_data is not called and no
 * more is read from the connection. The end of the stream may be reported all the same. Allowed
 * inside on_data. A loop is needed. */
void http_call_pause(struct http_call *call);
void http_call_resume(struct http_call *call);

/* Calls that start from now on go to another server ("https://host:6443"). Not for Unix sockets. */
int http_client_set_server(struct http_client *c, const char *base_url);
/* Ends what is in flight at the client's server with -ECONNRESET, from the loop; calls with a
 * base_url of their own continue. */
void http_client_abandon(struct http_client *c);

/* Does one call and waits for it (its own loop inside; never from within an event callback of
 * a daemon). The result must be freed with http_result_done(). Returns 0 when an answer came,
 * whatever its code. on_data is honoured. */
int http_client_do(struct http_client *c, const struct http_call_options *options,
                struct http_result *ret);
void http_result_done(struct http_result *r);
