/* The addresses in the node's pod range and which of them are in use. With a range of IPv6 beside
 * that of IPv4, a pod has the same place in both: its second address follows from the first. Pure.
 */
#pragma once

#include "lib/cidr.h"

struct ipam;

/* ranges: "10.244.3.0/24", or "10.244.3.0/24,fd00:10:244:3::/64"; IPv4 comes first, with prefixes
 * from /16 to /30, and that of IPv6 has as many addresses at least; or "fd00:10:244:3::/64", of
 * which the lowest 65,536 are used. The first address is the gateway's. -EINVAL. */
int ipam_new(struct ipam **ret, const char *ranges);
struct ipam *ipam_free(struct ipam *i);
DEFINE_CLEANUP(struct ipam *, ipam_free);
/* Adds the range of IPv6 that `ranges` has beside this node's own of IPv4. 1; 0: there is nothing
 * to add; -EINVAL: the range of IPv4 is another one. */
int ipam_extend(struct ipam *i, const char *ranges);
/* The ranges, a family's range and its gateway's address as text ("": there is none); borrowed. */
const char *ipam_ranges(const struct ipam *i);
const char *ipam_cidr(const struct ipam *i, enum ip_family family);
const char *ipam_gateway(const struct ipam *i, enum ip_family family);
/* How many pods can have an address. */
uint32_t ipam_size(const struct ipam *i);
/* Assigns the next free address after the last one, so that a released address is reused as late as
 * possible. -ENOSPC. */
int ipam_take(struct ipam *i, char ret[static ADDRESS_TEXT_SIZE]);
/* The address of IPv6 of the pod with this one of IPv4. Returns buffer; "" where there is none. */
const char *ipam_second(
                const struct ipam *i, const char *address, char buffer[static ADDRESS_TEXT_SIZE]);
/* Marks one as in use (adoption). -EADDRNOTAVAIL outside the range, -EADDRINUSE. */
int ipam_reserve(struct ipam *i, const char *address);
/* Frees an address; does nothing for one outside the range. */
void ipam_release(struct ipam *i, const char *address);
