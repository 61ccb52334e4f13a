/* The addresses in the node's pod range and which of them are in use. Pure. */
#pragma once

#include "lib/base.h"

struct ipam;

/* cidr: "10.244.3.0/24"; prefixes from /16 to /30, IPv4. The first address is the gateway's.
 * -EINVAL. */
int ipam_new(struct ipam **ret, const char *cidr);
struct ipam *ipam_free(struct ipam *i);
DEFINE_CLEANUP(struct ipam *, ipam_free);
/* The range and the gateway's address as text; borrowed. */
const char *ipam_cidr(const struct ipam *i);
const char *ipam_gateway(const struct ipam *i);
/* Assigns the next free address after the last one, so that a released address is reused as late as
 * possible. -ENOSPC. */
int ipam_take(struct ipam *i, char ret[static 16]);
/* Marks one as in use (adoption). -EADDRNOTAVAIL outside the range, -EADDRINUSE. */
int ipam_reserve(struct ipam *i, const char *address);
/* Frees an address; does nothing for one outside the range. */
void ipam_release(struct ipam *i, const char *address);

/* Splits "a.b.c.d/n" into host-order address and prefix length; the address is masked. -EINVAL. */
int cidr_parse(const char *cidr, uint32_t *ret_base, unsigned *ret_prefix);
/* Whether the range has this address; false when either cannot be parsed. */
bool cidr_contains(const char *cidr, const char *address);
