/* The node's network by rtnetlink: the pods' gateway, a namespace and a routed veth per pod, routes
 * to the other nodes' pods, the route of the service range. Everything is idempotent, and what we
 * make carries route protocol 75, so that only our own is ever removed. */
#pragma once

#include <systemd/sd-event.h>

#include "lib/map.h"

/* What our routes carry as their protocol, and how our links' names begin. */
enum { NETWORK_ROUTE_PROTOCOL = 75 };
#define NETWORK_LINK_PREFIX "keelson"

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
/* Puts back what is missing of the links keelson0 and keelson-svc, their addresses and our routes.
 */
int network_repair(struct network *n);
/* Calls on_missing soon after somebody removed one of our links, addresses or routes, or switched
 * a link off. */
struct network_watch;
int network_watch_new(struct network_watch **ret, sd_event *event,
                void (*on_missing)(void *userdata), void *userdata);
struct network_watch *network_watch_free(struct network_watch *w);
/* The path of a pod's network namespace; caller frees. */
char *network_pod_path(const char *uid) _warn_unused_;
int network_pod_up(struct network *n, const char *uid, const char *address, const char *gateway);
int network_pod_down(struct network *n, const char *uid);
/* Sets a sysctl (net.*) in the pod's network namespace. -EINVAL: no such name; -ENOENT: this kernel
 * does not have it; else what the kernel says to the value. */
int network_pod_sysctl(const char *uid, const char *name, const char *value);
/* Lets the machine reach the pod from its own loopback addresses (a host port on 127.0.0.1). */
int network_pod_allow_loopback(const char *uid);
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
