/* Service addresses and node ports in use: the keys below /registry/ranges/, which
 * the caches report. A writer claims the key in the Service's own transaction, so that two
 * kapids never give the same (kapid/admission/service-ips.c). */
#pragma once

#include "lib/cidr.h"

struct alloc;
enum { NODE_PORT_FIRST = 30000, NODE_PORT_LAST = 32767 };

/* ranges: "10.96.0.0/16", or with one of each family "10.96.0.0/16,fd00:10:96::/112"; the first is
 * the primary one, of services that ask for no family. Its first address is the API's own
 * Service's. -EINVAL with p. */
int alloc_new(struct alloc **ret, const char *ranges, struct problem *p);
struct alloc *alloc_free(struct alloc *a);
DEFINE_CLEANUP(struct alloc *, alloc_free);
/* Takes the value of a range key; value NULL: free. Other keys are ignored. */
void alloc_observe(struct alloc *a, const char *key, const char *value, size_t n);
/* Forgets everything. */
void alloc_reset(struct alloc *a);

/* Of services: one for each family. Borrowed. */
const struct cidrs *alloc_ranges(const struct alloc *a);
enum ip_family alloc_primary_family(const struct alloc *a);
/* "10.96.0.1" and the like, of the primary range. */
const char *alloc_first_address(const struct alloc *a, char buffer[static ADDRESS_TEXT_SIZE]);
/* The tenth address of the range, of the nodes' name servers; NULL when it has none. */
const char *alloc_dns_address(const struct alloc *a, char buffer[static ADDRESS_TEXT_SIZE]);
bool alloc_address_is_taken(const struct alloc *a, const char *ip);
bool alloc_port_is_taken(const struct alloc *a, int64_t port);
/* A random address or port that is not taken, and for ports, that `skip` does not refuse. -ENOSPC;
 * -EAFNOSUPPORT: there is no range of the family. */
int alloc_choose_address(const struct alloc *a, enum ip_family family,
                char buffer[static ADDRESS_TEXT_SIZE]);
int alloc_choose_port(const struct alloc *a, bool (*skip)(int64_t port, const void *userdata),
                const void *userdata, int64_t *ret);
/* The store's key that claims it. Caller frees; NULL when out of memory. */
char *alloc_address_key(const char *ip) _warn_unused_;
char *alloc_port_key(int64_t port) _warn_unused_;
