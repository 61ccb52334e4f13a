/* Requests to the HTTP servers of pods, services and nodes: `.../proxy/PATH` (docs/wire.md). They
 * go through SSH, as port-forward does: this server connects to no pod itself. */
#pragma once

#include "kapid/api.h"

struct pod_proxies;
struct node_target;

int pod_proxies_new(struct pod_proxies **ret, struct api *api);
struct pod_proxies *pod_proxies_free(struct pod_proxies *all);
DEFINE_CLEANUP(struct pod_proxies *, pod_proxies_free);
/* Ends what the user, whoever they act as, waits for; how many there were. all may be NULL. */
size_t pod_proxies_end_of(struct pod_proxies *all, const char *user);
/* Counts up: whose turn it is among equals. */
uint64_t pod_proxies_turn(struct pod_proxies *all);

struct proxy_to {
        struct node_target *target; /* its contents are taken */
        char *ask;                  /* what the agent is asked, JSON; borrowed */
        const char *address;        /* of the server: "10.0.0.1"; "" for a node's agent */
        uint16_t port;
        bool tls; /* any certificate is good */
};
/* Passes the request on, in its turn of dispatch. p: it was not; else it is answered. */
struct request;
int proxy_request(struct request *request, struct proxy_to *to, struct problem *p);
