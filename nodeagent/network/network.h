/* The node's network by rtnetlink: the pods' gateway, a namespace and a routed veth per pod, routes
 * to the other nodes' pods, the route of the service range. All functions are idempotent. Our
 * routes carry protocol 75, and only those are ever removed. */
#pragma once

#include "lib/address.h"
#include "lib/map.h"
#include "nodeagent/network/bandwidth.h"

/* The protocol number of our routes, and the prefixes of our links' names: the node's, and those of
 * its pods. */
enum { NETWORK_ROUTE_PROTOCOL = 75 };
#define NETWORK_LINK_PREFIX "keelson"
#define NETWORK_POD_LINK_PREFIX "kp"

struct network;

struct network_options {
        const char *node_ip[FAMILIES];      /* "": none; of one family at least */
        const char *service_cidr[FAMILIES]; /* "": none */
        const char *dns_address;            /* of the name server on this machine; NULL: none */
};

/* Opens rtnetlink, switches on forwarding and creates the device of the service range, with the
 * name server's address. Copies the options. A negative errno. */
int network_new(struct network **ret, const struct network_options *options);
struct network *network_free(struct network *n);
DEFINE_CLEANUP(struct network *, network_free);
/* Creates keelson0 with the gateway address of one family, and a route that keeps addresses of the
 * range from leaving the node; for IPv6 switches on forwarding. gateway: "10.244.3.1". A negative
 * errno. */
int network_set_pod_range(struct network *n, const char *cidr, const char *gateway);
/* The machine's address of IPv6, found after network_new(). */
void network_set_second_ip(struct network *n, const char *node_ip);
/* Restores missing parts: the links keelson0 and keelson-svc, their addresses and our routes.
 * Repairs as much as it can and returns the first error. */
int network_repair(struct network *n);
/* What is missing of these, in words: 1, caller frees; 0: nothing. A negative errno. */
int network_missing(struct network *n, char **ret);
/* The path of a pod's network namespace; caller frees. */
char *network_pod_path(const char *uid) _warn_unused_;
/* Creates what is missing of the pod's namespace, its veth pair, addresses and routes. addresses:
 * "10.244.3.7" and "fd00:10:244:3::7", or "" for one of them, for which network_set_pod_range() has set the
 * gateways. A negative errno. */
int network_pod_up(struct network *n, const char *uid, const char *const addresses[FAMILIES]);
/* Whether the pod's link is not there. */
bool network_pod_lost_link(const char *uid);
/* Whether the link of that name is this pod's. */
bool network_pod_has_link(const char *uid, const char *link);
/* Limits what the pod receives (ingress) and sends; 0 stays without a limit. */
int network_pod_limit(struct network *n, const char *uid, const struct bandwidth *b);
/* Removes them. 0 also when there is nothing. */
int network_pod_down(struct network *n, const char *uid);
/* Sets a sysctl (net.*) in the pod's network namespace. -EINVAL: not the name of a network setting;
 * -ENOENT: this kernel does not have it; else the kernel's error for the value. */
int network_pod_sysctl(const char *uid, const char *name, const char *value);
/* Lets the machine reach the pod from its own loopback addresses (a host port on 127.0.0.1). */
int network_pod_allow_loopback(const char *uid);
/* Calls func for every pod namespace on the machine (adoption, orphans). */
void network_each_pod(void (*func)(const char *uid, void *userdata), void *userdata);
/* routes: "10.244.2.0/24" or "fd00:10:244:2::/64" -> the node's addresses as text (char *,
 * node-address.h). Adds missing routes and removes those of our routes that are not in the map.
 * Nodes of other networks, and ranges of IPv6 of nodes without such an address on a network of this
 * machine, are reached by VXLAN (overlay.h). */
int network_set_routes(struct network *n, const struct map *routes);
/* The routes as last set; NULL: none. Borrowed. */
const struct map *network_routes(const struct network *n);
/* The largest packet of a pod, as network_pod_up() sets it: less where VXLAN is in use. */
unsigned network_pod_mtu(const struct network *n);
/* Removes everything that the functions above created on this machine: pod namespaces, links,
 * routes. For a node that leaves its cluster; the agent must not run. */
int network_clean(void);
