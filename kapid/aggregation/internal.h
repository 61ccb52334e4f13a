/* Shared by the files of this folder. */
#pragma once

#include <sys/queue.h>

#include "kapid/aggregation/aggregation.h"
#include "kapid/aggregation/apiservice.h"
#include "kapid/auth/front-proxy.h"
#include "kapid/http/request.h"
#include "kapid/relay/relay.h"
#include "kapid/webhooks/resolve.h"
#include "lib/http-client.h"

enum {
        PROXY_CALLS_MAX = 1024, /* requests that are passed on at a time */
        PROXY_BYTES_MAX = 64 << 20,
        CONNECT_TIME_US = 10 * 1000 * 1000,
        SILENT_PEER_MS = 30 * 1000, /* sent bytes are acknowledged within */
        PROBE_CONFIRMATIONS = 2,    /* failures until a server that did answer is unavailable */
};

struct remote {
        unsigned refs;
        LIST_ENTRY(remote) entry;
        struct aggregation *all; /* NULL: it is no longer one of them */
        struct apiservice service;
        json_t *spec; /* that it was made of */
        char *server_name;
        struct http_client *client;
        uint64_t identity; /* the generation of the front proxy's files that the client has */
        uint64_t turn;     /* of its endpoints */
        bool seen;         /* while the set is read again */
        /* probe.c */
        struct availability availability; /* reason NULL: it was not looked at yet */
        json_t *resources;
        char *openapi_hash;
        char *openapi_v2;         /* its part of the v2 document; NULL: none */
        uint64_t openapi_v2_mark; /* of the text that it was made of; 0: of none */
        sd_event_source *timer;
        struct http_call *probe;
        uint64_t openapi_us;
        unsigned failures;
        enum { PROBE_DISCOVERY, PROBE_INDEX, PROBE_V2 } asks; /* what the call is about */
        bool again;      /* something changed since the call began */
};

struct aggregation {
        struct api *api;
        struct cache *apiservices, *services, *endpoints;
        LIST_HEAD(, remote) remotes;
        bool stale;
        uint64_t generation;
        sd_event_source *soon; /* reads the set again, then publish.c's work */
        struct relays *relays;
        struct publisher *publisher;
        struct metric *available;
};

/* The endpoint to call as "https://10.0.0.1:443". -ENOENT with a sentence in *ret_why; -ENOMEM. */
int remote_address(struct remote *r, char **ret, char **ret_why);
/* The Host header: the service, wherever it is reached. */
struct forward_headers;
int remote_add_host(const struct remote *r, struct forward_headers *h);
/* Begins to look at it, and whenever it is due from then on. */
int probe_start(struct remote *r);
/* Its service or endpoints have changed. */
void probe_soon(struct remote *r);
void probe_stop(struct remote *r);

/* publish.c: the objects of local groups, conditions, the servers' ConfigMap. */
struct publisher;
int publisher_new(struct publisher **ret, struct aggregation *g);
struct publisher *publisher_free(struct publisher *p);
DEFINE_CLEANUP(struct publisher *, publisher_free);
/* Something may be to be written. */
void publisher_wake(struct publisher *p);

/* pass-on.c: what is under way to them. */
int pass_on_start(struct aggregation *g);
