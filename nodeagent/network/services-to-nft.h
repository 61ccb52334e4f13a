/* Services and endpoint slices -> nftables, as pure text. A model is what one service (or one local
 * pod) puts into the table; the whole table is the frame plus all models, a change is the
 * difference of two models of the same thing. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/map.h"

/* A model: {"sets": {name: timeout_s}, "chains": {name: [rule]}, "elements": {map: {key: verdict or
 * ""}}, "flows": {"address:port" or "*:port" of the node: ["address:port" of an endpoint]} (of UDP
 * ports), "leftOut": {address: true}}. */

/* A service's rules depend on these beside the service itself. Borrowed. */
struct service_facts {
        const char *node_name;      /* distinguishes local endpoints */
        const char *service_cidr;   /* "10.96.0.0/16"; NULL or "": not known */
        const char *node_ip;        /* "10.98.0.12"; NULL: not known */
        const struct map *reserved; /* addresses of nodes and of the API; values are not used */
};

/* The model of a service; NULL when out of memory. slices: array of this service's EndpointSlices.
 * Addresses of nodes, of the API and of the service range are never taken from externalIPs or
 * status.loadBalancer: they are in the model's "leftOut".
 */
json_t *service_to_model(const json_t *service, const json_t *slices,
                const struct service_facts *facts) _warn_unused_;
/* A pod of this node: its address may come back to itself through a service, and its host ports
 * (array of {hostPort, hostIP, containerPort, protocol}). */
json_t *local_pod_to_model(const char *uid, const char *pod_ip, const json_t *ports) _warn_unused_;
/* Destinations that no rule may ever catch: {"address:port": port} of the API. */
json_t *protected_to_model(const json_t *addresses, const char *service_cidr) _warn_unused_;

struct nft_frame {
        const char *cluster_cidr;
        const char *service_cidr;
};
/* A whole table, assembled model by model. Zero-initialise; ruleset_done() frees. */
struct ruleset {
        struct buf containers, chains, elements;
};
/* Adds the text of a model. -ENOMEM. */
int ruleset_add(struct ruleset *r, const json_t *model);
/* The text that replaces the whole table by the frame and the models; the ruleset is empty after
 * it. */
int ruleset_text(struct ruleset *r, const struct nft_frame *frame, struct buf *out);
void ruleset_done(struct ruleset *r);
/* Appends to out the commands that turn old into new; nothing when they are equal. NULL is the
 * empty model. -ENOMEM. */
int model_diff(const json_t *old, const json_t *new_model, struct buf *out);

/* A tracked connection: the address that the sender used, and the endpoint that answers. */
struct udp_flow {
        const char *to, *from;
        unsigned to_port, from_port;
};
/* Whether a UDP flow leads to a pod that is no longer an endpoint of the service that it was sent
 * to: it would stay there as long as the sender keeps sending. flows: the models' "flows" of the
 * changed services, or of all; then with the service range, in which an address without a service
 * is stale too. */
bool flow_is_stale(const json_t *flows, const char *service_cidr, const struct udp_flow *f);
