/* Addresses of load balancers on this machine's links, by rtnetlink. They are /32 and /128, are
 * never used as a source address, and carry a label (IPv4) and a protocol number that nobody else
 * uses: only those are ever changed. The kernel itself removes one that is not renewed. */
#pragma once

#include <net/if.h>

#include "lib/address.h"

#define CARRIED_LABEL "keelson-lb"

struct carried;

int carried_new(struct carried **ret);
struct carried *carried_free(struct carried *c);
DEFINE_CLEANUP(struct carried *, carried_free);
/* Looks at the machine's addresses, if they have changed since the last time; the functions below
 * answer from what it saw. A negative errno. */
int carried_refresh(struct carried *c);
/* The link whose network contains the address, the smallest of several; else that of the node's own
 * address. -ENODEV. */
int carried_find_link(const struct carried *c, const struct address *a, const char *node_ip);
/* Whether someone else set that very address on a link. */
bool carried_is_foreign(const struct carried *c, const struct address *a);
/* Calls func for each address that this program, or an earlier one, put on a link. */
void carried_each(const struct carried *c,
                void (*func)(const struct address *a, int link, void *userdata), void *userdata);
/* Puts the address on the link, or renews it: the kernel removes it after valid_s. */
int carried_put(struct carried *c, const struct address *a, int link, uint32_t valid_s);
/* 0 also when it is not there. */
int carried_remove(struct carried *c, const struct address *a, int link);
