/* Which pod and port a proxied request is for: pods by themselves, services by one of their
 * endpoints. As in the reference server, only addresses that are a pod's of the same namespace are
 * used: who may write endpoints must not reach what they name. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* The port of a pod: a number, or the name of one of its containers' ports; "": the first one that
 * a container names, else 80, with TLS 443. 400 in p. */
int place_port_of_pod(
                const json_t *pod, const char *port, bool tls, uint16_t *ret, struct problem *p);
/* Whether the pod has an address and a node. 400 in p. */
int place_check_pod(const json_t *pod, struct problem *p);
/* The port of a service as its endpoints name it, borrowed: port is a number, a name, or "". 503 in
 * p. */
int place_port_of_service(
                const json_t *service, const char *port, const char **ret, struct problem *p);

struct pod_place {
        json_t *pod; /* owned */
        uint16_t port;
};
void pod_place_done(struct pod_place *p);
/* The pod of that name in the service's namespace: a new reference; NULL: there is none. */
typedef json_t *(*place_pod_func)(const char *name, void *userdata);
/* A ready endpoint; turn says which one is tried first. 503 in p: "no endpoints available". */
int place_of_service(const json_t *endpoints, const char *port_name, uint64_t turn,
                place_pod_func find, void *userdata, struct pod_place *ret, struct problem *p);
