/* Services and endpoint slices -> nftables. A model is what one service (or one local pod) puts
 * into the table: chains, sets and elements of the frame's maps (nft-frame.h). Pure. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/service-endpoints.h"
#include "nodeagent/network/service-view.h"

/* A model: {"sets": {name: [type, timeout_s]}, "chains": {name: [rule]}, "elements": {map: {key:
 * verdict, "address . port" or ""}}, "flows": {"address:port" or "*:port" of the node:
 * ["address:port" of an endpoint]} (of UDP ports; IPv6 addresses in brackets), "leftOut": {address:
 * true}}. The name of a chain ends with a digest of its rules: a chain of that name has these
 * rules. */

/* A service's rules depend on these beside the service itself. Borrowed. */
struct service_facts {
        struct node_place node;
        const char *cluster_cidr[FAMILIES]; /* "10.244.0.0/16"; NULL or "": not known, or none */
        const char *service_cidr[FAMILIES]; /* "10.96.0.0/16"; likewise */
        const char *node_ip[FAMILIES];      /* "10.98.0.12"; likewise */
        const struct map *reserved; /* addresses of nodes and of the API; values are not used */
};

/* The model of a service; NULL when out of memory. slices may be NULL. Addresses of nodes, of the
 * API and of the service range are never taken from externalIPs or status.loadBalancer: they are in
 * the model's "leftOut". */
json_t *service_to_model(const struct service_view *service, const struct slice_list *slices,
                const struct service_facts *facts) _warn_unused_;
/* A pod of this node: its addresses ("": none of the family) may come back to itself through a
 * service, and its host ports (array of {hostPort, hostIP, containerPort, protocol}). NULL when out
 * of memory. */
json_t *local_pod_to_model(const char *uid, const char *const addresses[FAMILIES],
                const json_t *ports) _warn_unused_;
/* Destinations that no rule may ever catch: {"10.0.0.1:6443": port} or {"[fd00::1]:6443": port} of
 * the API; none of the service ranges ("": none). NULL when out of memory. */
json_t *protected_to_model(
                const json_t *addresses, const char *const service_cidr[FAMILIES]) _warn_unused_;
/* The address of such a place. Caller frees; NULL when out of memory. */
char *place_address(const char *place) _warn_unused_;

/* A tracked connection: the address that the sender used, and the endpoint that answers. */
struct udp_flow {
        const char *to, *from;
        unsigned to_port, from_port;
};
/* Whether a UDP flow leads to a pod that is no longer an endpoint of the service that it was sent
 * to: it would stay there as long as the sender keeps sending. flows: the models' "flows" of the
 * changed services, or of all; then with the service ranges (NULL: without), in which an address
 * without a service is stale too. */
bool flow_is_stale(const json_t *flows, const char *const service_cidr[FAMILIES],
                const struct udp_flow *f);
