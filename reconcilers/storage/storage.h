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
/* provision-nfs.c: the same for the provisioner keelson.dev/nfs. */
void storage_provision_nfs(
                const struct world *w, const json_t *claim, const json_t *class, struct actions *a);
/* A ready node that func allows, the same one for the same uid; NULL: none. */
const json_t *storage_node_for(const struct world *w, const char *uid,
                bool (*func)(const json_t *node, const void *userdata), const void *userdata);
/* Reports in an event that no volume could be made. */
void storage_failed(struct actions *a, const json_t *claim, const json_t *class, const char *why);
/* Why none of our provisioners can make a volume for the claim; NULL: one can. */
const char *storage_refusal(const json_t *claim);
/* A volume of that name for the claim, without its source; the caller unrefs. */
json_t *storage_volume(const json_t *claim, const json_t *class, const char *name) _warn_unused_;
/* A deleted volume of keelson.dev/nfs: gives it to a ready node, whose agent removes the folder. */
void storage_delete_from_share(const struct world *w, const json_t *volume, struct actions *a);
/* Removes the finalizer from the object. */
void storage_remove_finalizer(
                struct actions *a, const char *plural, const json_t *object, const char *finalizer);
