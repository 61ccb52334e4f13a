/* The node's network by rtnetlink: the pods' gateway, a namespace and a routed veth per pod, routes
 * to the other nodes' pods, the route of the service range. Everything is idempotent, and what we
 * make carries route protocol 75, so that only our own is ever removed. */
#pragma once

#include "lib/map.h"

struct network;

struct network_options {
        const char *node_ip;
        const char *service_cidr;
};

int network_new(struct network **ret, const struct network_options *options);
struct network *network_free(struct network *n);
DEFINE_CLEANUP(struct network *, network_free);
/* Makes keelson0 with the gateway address and keeps addresses of the range from leaving the node.
 */
int network_set_pod_range(struct network *n, const char *cidr, const char *gateway);
/* The path of a pod's network namespace; caller frees. */
char *network_pod_path(const char *uid) _warn_unused_;
int network_pod_up(struct network *n, const char *uid, const char *address, const char *gateway);
int network_pod_down(struct network *n, const char *uid);
/* Calls for every pod namespace there is (adoption, leftovers). */
void network_each_pod(void (*func)(const char *uid, void *userdata), void *userdata);
/* routes: "10.244.2.0/24" -> "10.98.0.12" (char *). Adds what is missing, removes ours that are not
 * wanted. */
int network_set_routes(struct network *n, const struct map *routes);
/* Takes away everything that the functions above made on this machine: pod namespaces, links,
 * routes. For a node that leaves its cluster; the agent must not run. */
int network_clean(void);
/* The address of the interface that the default route, or the first other one, uses. */
int network_guess_node_ip(char ret[static 16]);
