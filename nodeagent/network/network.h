/* The node's network by rtnetlink: the pods' gateway, a namespace and a routed veth per pod, routes
 * to the other nodes' pods, the route of the service range. All functions are idempotent. Our
 * routes carry protocol 75, and only those are ever removed. */
#pragma once

#include "lib/map.h"

/* The protocol number of our routes, and the prefix of our links' names. */
enum { NETWORK_ROUTE_PROTOCOL = 75 };
#define NETWORK_LINK_PREFIX "keelson"

struct network;

struct network_options {
        const char *node_ip;
        const char *service_cidr;
};

/* Opens rtnetlink, switches on forwarding and creates the device of the service range. Copies the
 * options. A negative errno. */
int network_new(struct network **ret, const struct network_options *options);
struct network *network_free(struct network *n);
DEFINE_CLEANUP(struct network *, network_free);
/* Creates keelson0 with the gateway address, and a route that keeps addresses of the range from
 * leaving the node. gateway: "10.244.3.1". A negative errno. */
int network_set_pod_range(struct network *n, const char *cidr, const char *gateway);
/* Restores missing parts: the links keelson0 and keelson-svc, their addresses and our routes.
 * Repairs as much as it can and returns the first error. */
int network_repair(struct network *n);
/* The path of a pod's network namespace; caller frees. */
char *network_pod_path(const char *uid) _warn_unused_;
/* Creates what is missing of the pod's namespace, its veth pair, addresses and routes. address,
 * gateway: "10.244.3.7". A negative errno. */
int network_pod_up(struct network *n, const char *uid, const char *address, const char *gateway);
/* Removes them. 0 also when there is nothing. */
int network_pod_down(struct network *n, const char *uid);
/* Sets a sysctl (net.*) in the pod's network namespace. -EINVAL: not the name of a network setting;
 * -ENOENT: this kernel does not have it; else the kernel's error for the value. */
int network_pod_sysctl(const char *uid, const char *name, const char *value);
/* Lets the machine reach the pod from its own loopback addresses (a host port on 127.0.0.1). */
int network_pod_allow_loopback(const char *uid);
/* Calls func for every pod namespace on the machine (adoption, orphans). */
void network_each_pod(void (*func)(const char *uid, void *userdata), void *userdata);
/* routes: "10.244.2.0/24" -> "10.98.0.12" (char *). Adds missing routes and removes those of our
 * routes that are not in the map. */
int network_set_routes(struct network *n, const struct map *routes);
/* Removes everything that the functions above created on this machine: pod namespaces, links,
 * routes. For a node that leaves its cluster; the agent must not run. */
int network_clean(void);
/* The address of the interface of the default route, else of the first other one. -ENODEV when
 * there is none. */
int network_guess_node_ip(char ret[static 16]);
