/* What the verbs `certs renew` and `certs rotate-ca` share. */
#pragma once

#include "kctl/certs-seen.h"

/* Renews those of a place for which cert_decide() says so, and prints a line for each. Returns how
 * many, or an error with p. */
int certs_renew_at(const struct certs_place *place, const struct cert_wish *wish, uint64_t life_s,
                struct problem *p);
/* The API of the control plane whose place this is, with its administrator's credentials: k gets
 * the client, and --kubeconfig names a copy of them in memory. Waits until it answers. */
int certs_connect(struct kctl *k, struct certs_place *place, struct problem *p);
/* Brings the user's own kubeconfig up to date with the administrator's of the place, if it has that
 * context. */
int certs_renew_own_kubeconfig(
                struct kctl *k, const struct certs_place *place, struct problem *p);
