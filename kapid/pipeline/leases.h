/* The store's leases of kinds whose objects end by themselves (kind.ttl_s: Events). Objects that
 * are written within kind.ttl_share_s of each other hang on one lease. */
#pragma once

#include "kapid/kinds/kind.h"

struct leases;
struct leases *leases_new(void) _warn_unused_;
struct leases *leases_free(struct leases *l);
DEFINE_CLEANUP(struct leases *, leases_free);
/* The lease that an object of the kind, written now, may hang on; 0: one must be granted, with
 * leases_ttl_s(). now_us is monotonic. */
int64_t leases_find(const struct leases *l, const struct kind *k, uint64_t now_us);
/* Keeps a lease that was granted just now for the kind's next objects. Without memory it is not
 * kept, and the next object gets one of its own. */
void leases_add(struct leases *l, const struct kind *k, int64_t lease, uint64_t now_us);
/* How long the lease must live so that the last object that shares it lives for kind.ttl_s. */
uint64_t leases_ttl_s(const struct kind *k);
