/* Service addresses and node ports. What is taken is known from the keys below /registry/ranges/,
 * which the caches report; a choice is claimed in the Service's own txn, so that two kapids never
 * give the same one. */
#pragma once

#include "kapid/pipeline/write.h"

struct alloc;
enum { NODE_PORT_FIRST = 30000, NODE_PORT_LAST = 32767 };

/* range: "10.96.0.0/16". The first address is the API's own Service's. -EINVAL with p. */
int alloc_new(struct alloc **ret, const char *range, struct problem *p);
struct alloc *alloc_free(struct alloc *a);
DEFINE_CLEANUP(struct alloc *, alloc_free);
/* What a range key says; value NULL: free. Other keys are ignored. */
void alloc_observe(struct alloc *a, const char *key, const char *value, size_t n);
/* Forgets everything. */
void alloc_reset(struct alloc *a);
/* Gives the Service what it asks for or lacks and adds the claims and releases to w->decision. live
 * NULL: a create. 422 when an address or port is taken, out of range, or none is left. */
int alloc_service(struct alloc *a, struct write *w, const json_t *live, json_t *object,
                struct problem *p);
/* Adds the releases of what `object` held and `kept` (may be NULL) does not. */
int alloc_release(struct alloc *a, struct write *w, const json_t *object, const json_t *kept);
/* "10.96.0.1" and the like; buffer of INET_ADDRSTRLEN. */
const char *alloc_first_address(const struct alloc *a, char buffer[static 16]);
