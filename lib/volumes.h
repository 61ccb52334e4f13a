/* Names and rules of volumes and claims that several programs share. Pure. */
#pragma once

#include "lib/json.h"

/* Annotations of Kubernetes' volume controllers. */
#define VOLUME_BIND_COMPLETED "pv.kubernetes.io/bind-completed"
#define VOLUME_BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller"
#define VOLUME_PROVISIONED_BY "pv.kubernetes.io/provisioned-by"
#define VOLUME_SELECTED_NODE "volume.kubernetes.io/selected-node"
/* The field spec.storageClassName before it was one. */
#define VOLUME_CLASS "volume.beta.kubernetes.io/storage-class"
#define VOLUME_PROVISIONER "volume.kubernetes.io/storage-provisioner"

/* The provisioner that kreconciled and the agents are. A volume of it keeps the finalizer until the
 * agent of the node in its label has removed the data. */
#define PROVISIONER_LOCAL "keelson.dev/local"
#define VOLUME_DATA_FINALIZER "keelson.dev/volume-data"
#define VOLUME_NODE_LABEL "keelson.dev/node"
/* Where the folders of local volumes are, each named as its volume. */
#define LOCAL_VOLUMES_DIR "/var/lib/keelson/volumes"

/* The name of the claim of a volume of a pod's spec, of an ephemeral one ("POD-VOLUME") too; NULL
 * in *ret for volumes of other kinds. The caller frees. -ENOMEM. */
int pod_claim_name(const json_t *pod, const json_t *volume, char **ret);
/* The class of a claim or volume: of the annotation that came before the field, or of the field; ""
 * without one. */
const char *volume_class(const json_t *volume_or_claim);
/* Whether the volume was made by the provisioner above. */
bool volume_is_ours(const json_t *volume);
/* Whether the volume is bound to, or kept for, this very claim. */
bool volume_is_for(const json_t *volume, const json_t *claim);
/* Why the volume cannot serve the claim, as an event says it (its selector apart); NULL: it can. */
const char *volume_mismatch(const json_t *volume, const json_t *claim);
