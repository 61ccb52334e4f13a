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

/* The provisioners that kreconciled and the agents are. A volume of them keeps the finalizer until
 * the agent of the node in its label has removed the data. */
#define PROVISIONER_LOCAL "keelson.dev/local"
#define PROVISIONER_NFS "keelson.dev/nfs"
#define VOLUME_DATA_FINALIZER "keelson.dev/volume-data"
#define VOLUME_NODE_LABEL "keelson.dev/node"
/* A label of nodes, set by their agents: how the sizes of local volumes are limited there
 * ("project-quota", "btrfs-quota", "unlimited"). A volume has the same as an annotation. */
#define VOLUME_SIZE_LABEL "keelson.dev/volume-size"
/* Where the folders of local volumes are, each named as its volume. */
#define LOCAL_VOLUMES_DIR "/var/lib/keelson/volumes"
/* Annotations of a volume of keelson.dev/nfs: the path of the share, below which spec.nfs.path is;
 * "archive": its folder is renamed instead of removed. */
#define VOLUME_SHARE_PATH "keelson.dev/share-path"
#define VOLUME_ON_DELETE "keelson.dev/on-delete"

/* The name of the claim of a volume of a pod's spec, of an ephemeral one ("POD-VOLUME") too; NULL
 * in *ret for volumes of other kinds. The caller frees. -ENOMEM. */
int pod_claim_name(const json_t *pod, const json_t *volume, char **ret);
/* The class of a claim or volume: of the annotation that came before the field, or of the field; ""
 * without one. */
const char *volume_class(const json_t *volume_or_claim);
/* Whether the volume was made by the provisioner keelson.dev/local; by one of the two. */
bool volume_is_local(const json_t *volume);
bool volume_is_ours(const json_t *volume);
/* Whether it can be a folder below a share: relative, at most SHARE_FOLDER_MAX bytes, no empty
 * parts, none that begins with ".", no control characters. */
enum { SHARE_FOLDER_MAX = 1024 };
bool share_folder_is_valid(const char *folder);
/* The folder of a volume of keelson.dev/nfs below its share, borrowed; NULL: not such a volume, or
 * it does not fit its share's path. */
const char *volume_share_folder(const json_t *volume);
/* Whether the volume is bound to, or kept for, this very claim. */
bool volume_is_for(const json_t *volume, const json_t *claim);
/* Why the volume cannot serve the claim, as an event says it (its selector apart); NULL: it can. */
const char *volume_mismatch(const json_t *volume, const json_t *claim);
