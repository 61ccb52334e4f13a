/* Service addresses and node ports in use: the keys below /registry/ranges/, which
 * the caches report. A writer claims the key in the Service's own transaction, so that two
 * kapids never give the same (kapid/admission/service-ips.c). */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

struct alloc;
enum { NODE_PORT_FIRST = 30000, NODE_PORT_LAST = 32767 };

/* range: "10.96.0.0/16". The first address is the API's own Service's. -EINVAL with p. */
int alloc_new(struct alloc **ret, const char *range, struct problem *p);
struct alloc *alloc_free(struct alloc *a);
DEFINE_CLEANUP(struct alloc *, alloc_free);
/* Takes the value of a range key; value NULL: free. Other keys are ignored. */
void alloc_observe(struct alloc *a, const char *key, const char *value, size_t n);
/* Forgets everything. */
void alloc_reset(struct alloc *a);

/* "10.96.0.1" and the like; buffer of INET_ADDRSTRLEN. */
const char *alloc_first_address(const struct alloc *a, char buffer[static 16]);
bool alloc_address_in_range(const struct alloc *a, const char *ip);
bool alloc_address_is_taken(const struct alloc *a, const char *ip);
bool alloc_port_is_taken(const struct alloc *a, int64_t port);
/* A random address or port that is not taken, and for ports, that `skip` does not refuse. -ENOSPC.
 */
int alloc_choose_address(const struct alloc *a, char buffer[static 16]);
int alloc_choose_port(const struct alloc *a, bool (*skip)(int64_t port, const void *userdata),
                const void *userdata, int64_t *ret);
/* The store's key that claims it. Caller frees; NULL when out of memory. */
char *alloc_address_key(const char *ip) _warn_unused_;
char *alloc_port_key(int64_t port) _warn_unused_;
