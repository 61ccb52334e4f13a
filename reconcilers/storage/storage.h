/* Shared by the controllers of volumes and claims. Pure. */
#pragma once

#include "lib/volumes.h"
#include "reconcilers/controller.h"

/* Whether it is bound to it: its reference has the claim's uid. */
bool volume_is_bound_to(const json_t *volume, const json_t *claim);
/* The volume that was kept for the claim before it was there; NULL: none. */
const json_t *volume_kept_for(const struct world *w, const json_t *claim);
/* The smallest free volume that can serve the claim on the node (NULL: wherever it is); NULL:
 * none. */
const json_t *volume_best_for(const struct world *w, const json_t *claim, const json_t *node);

/* Makes a volume for the claim, or says in an event why not. class: its StorageClass. */
void storage_provision(
                const struct world *w, const json_t *claim, const json_t *class, struct actions *a);
/* Removes the finalizer from the object. */
void storage_remove_finalizer(
                struct actions *a, const char *plural, const json_t *object, const char *finalizer);
