/* Requests that are passed on to another HTTP server, and its answers on their way back: to
 * extension servers (kapid/aggregation/), and to pods, services and nodes (kapid/proxy/). What the
 * two have in common is here: bounds, headers, bodies with flow control, upgrades, ends.
 *
 *   forward.c  headers and paths (pure)      call.c    a request and its answer
 *   relay.c    the set of those under way    tunnel.c  one that leaves HTTP */
#pragma once

#include "kapid/http/request.h"
#include "kapid/relay/forward.h"
#include "lib/http-client.h"
#include "lib/tls.h"

struct relays; /* those of one owner */
struct relay;  /* one of them */

/* Who the servers are, to the relay. */
struct relay_ops {
        const char *server; /* "the extension server", in messages */
        const char *busy;   /* "requests to extension servers", in messages */
        bool redirects;     /* the client may see them; else 502 (CVE-2022-3172) */
        /* Headers beside those of the client: who asks, Host and the like. */
        int (*add_headers)(struct request *request, void *owner, struct forward_headers *h,
                        struct problem *p);
        /* Another value of a header of the answer in *ret, owned; NULL: the same. May be NULL. */
        int (*change)(void *owner, const char *name, const char *value, char **ret);
        /* Why the server was not reached, where the owner knows it; borrowed, or NULL. May be NULL.
         */
        const char *(*why)(void *owner);
        /* For a tunnel to a server with TLS. */
        int (*tls)(void *owner, struct tls_context **ret, struct problem *p);
        void (*free)(void *owner);
};

struct relay_options {
        const struct relay_ops *ops;
        size_t requests_max, bytes_max; /* at a time, and of their bodies */
        const char *counter;            /* "keelson_..._total": how many, by result */
        const char *counter_help;
};
int relays_new(struct relays **ret, struct api *api, const struct relay_options *o);
/* Ends them all. */
struct relays *relays_free(struct relays *all);
DEFINE_CLEANUP(struct relays *, relays_free);
/* Ends what a user, whoever they act as, waits for or has taken out of HTTP; how many there were.
 * Open streams are the API's own (request->carrier). all may be NULL. */
size_t relays_end_of(struct relays *all, const char *user);

/* Begins, in the request's turn of dispatch: it takes its share, and waits for relay_send() or
 * relay_fail(). Takes owner, which ops->free gets whatever happens. NULL: it was answered. When the
 * client goes or the answer does not come in time the relay ends by itself. */
struct relay *relay_begin(struct relays *all, struct request *request, void *owner);

struct relay_place {
        struct http_client *client;
        const char *base_url;    /* "https://10.0.0.1:443" */
        const char *server_name; /* of its certificate; NULL: any */
        const char *target;      /* path and query */
        const char *socket_name; /* an abstract Unix socket that leads to it; NULL: base_url does */
        uint64_t idle_us;        /* its answer may be silent for; 0: for ever */
};
/* Afterwards the relay may be gone. */
void relay_send(struct relay *y, const struct relay_place *place);
/* Answers in the server's place. */
void relay_fail(struct relay *y, int code, const char *why);
void relay_refuse(struct relay *y, int error, const struct problem *p);

/* Watches, logs, exec and the like take as long as they take, as in the reference server. */
bool relay_is_long_running(const struct request *request);
/* 503 for a server that cannot be called. */
void relay_refuse_request(struct request *request, const char *why);
