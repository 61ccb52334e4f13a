/* kctl restore with a sealed backup, on machines that are of no control plane: the whole of it. */
#pragma once

#include "kctl/machine.h"
#include "kctl/sealing.h"

/* Whether the first machine of --control (or this one) is of no control plane, or one whose
 * restoring was interrupted. 1, 0, or an error with p. */
int restore_is_elsewhere(struct kctl *k, const struct opened *o, struct problem *p);
/* Does it: the authorities and keys, the store as a new cluster, its members, and the nodes are
 * told. Returns an exit code. */
int restore_elsewhere(struct kctl *k, const struct opened *o);
