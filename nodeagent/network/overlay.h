/* VXLAN (RFC 7348) to nodes of other networks, where a router would not know the way to their pods.
 * One link, `keelson-vx`; a node's end has a hardware address that is made from the node's own
 * address, so that nothing has to be exchanged, learned or flooded. Needed or not is decided for
 * each range of pods: of a node with an address of that family in a network of this machine's links
 * they are reached directly. The outer packets are of IPv4, but of IPv6 in a cluster that has only
 * that. */
#pragma once

#include "lib/address.h"
#include "lib/map.h"

#define OVERLAY_DEVICE "keelson-vx"
/* The UDP port that nodes send to each other; docs/names.md. */
enum { OVERLAY_PORT = 8475, OVERLAY_ID = 75, OVERLAY_BYTES = 50, OVERLAY_BYTES6 = 70 };

struct overlay;

/* node_ip: this node's address, of IPv4 where it has one. */
int overlay_new(struct overlay **ret, const char *node_ip);
struct overlay *overlay_free(struct overlay *o);
DEFINE_CLEANUP(struct overlay *, overlay_free);
/* Whether an address ("10.98.2.12") is in none of the networks ("10.98.1.11/24") of this machine.
 */
bool overlay_is_far(const char *const *networks, size_t count, const char *address);
/* Divides routes (range of pods -> addresses of their node, as text) into those that are reached
 * over networks of this machine, as its links are now, and others: near has the gateway of the
 * range's family, far the node's address of the family of node_ip (both char *). Ranges that neither reaches are
 * left out. */
int overlay_divide(struct overlay *o, const struct map *routes, struct map *near, struct map *far);
/* The routes to the pods of far nodes: adds the missing ones, and removes others of the link;
 * without any the link goes. sources: the addresses that this machine itself sends to them with;
 * "": the kernel chooses. Returns the first error, after doing what can be done. */
int overlay_set_routes(
                struct overlay *o, const struct map *far, const char *const sources[FAMILIES]);
/* The index of the link, or 0; also for NULL. */
int overlay_index(const struct overlay *o);
/* The largest packet of a pod: that of the link of this node's address, less what VXLAN adds while
 * it is in use. */
unsigned overlay_pod_mtu(const struct overlay *o);
