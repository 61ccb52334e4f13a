/* The image's part of a container's unit. Pure.
 *
 * An image is what pod_facts.images has for the container: of image_resolve() (runtime/images.h),
 * and of an OCI image that is on this machine also
 *
 *      {"id": "sha256:...", "path": the folder that is its root, "digest", "config": the members of
 *       the image's configuration (image/manifest.h), "user": {"uid", "gid", "groups": [number],
 *       "home": path}}
 *
 * user: what runAsUser, or else the image's User, means in the image's own /etc/passwd. */
#pragma once

#include "nodeagent/plan/plan.h"

/* NULL: there is none. Borrowed. */
const json_t *image_of_container(const struct pod_facts *f, const json_t *container);
/* Whether its root is made of an OCI image. */
bool image_is_layered(const json_t *image);
/* Sets RootDirectory or RootImage; nothing for the machine's own root. -ENOMEM. */
int image_set_root(const struct pod_facts *f, const json_t *container, json_t *properties);
/* The words of the container's program: the caller unrefs. -EINVAL and -E2BIG with p. */
int image_command(const json_t *image, const json_t *container, const struct pod_env *env,
                json_t **ret, struct problem *p);
/* "" where neither says one. Borrowed. */
const char *image_working_dir(const json_t *image, const json_t *container);
/* ["NAME=value"] that come before the pod's own variables; $(NAME) does not see them. The caller
 * unrefs. -ENOMEM. */
int image_variables(const json_t *image, json_t **ret);
/* User and Group of a container with an OCI image, after pod_fields_apply(). 1: it runs as root;
 * 0. -EINVAL with p: runAsNonRoot is not met. */
int image_identity(const json_t *image, const json_t *pod, const json_t *container,
                json_t *properties, struct problem *p);
/* lifecycle.stopSignal of the container (KEP-4960; may be NULL), or else the image's StopSignal, ->
 * KillSignal; one that is not known sets nothing. -ENOMEM. */
int image_stop_signal(const json_t *image, const json_t *container, json_t *properties);
/* What pod/roots.c makes for an OCI image: {"image": id, "lower": the image's root, "place": where
 * the container's root is mounted, "own": the folder for its writable layer, "memory": a folder for
 * it in memory, where the disk's file system cannot have one, "folders": [paths in the root that
 * must be there], "ownUser": whether the image and not the pod names the user}. 1 with it (the
 * caller unrefs), 0 for another root, -ENOMEM. */
int image_root_plan(const json_t *pod, const json_t *container, const struct pod_facts *f,
                json_t *properties, json_t **ret);
/* The documents of the pod's imagePullSecrets, for image/credentials.h: an array, the caller
 * unrefs. missing: the names of those that are not there or cannot be read, or NULL; the caller
 * frees. -ENOMEM. */
int pod_pull_credentials(const json_t *pod, const json_t *resources, json_t **ret, char **missing);
/* "Always", "IfNotPresent" or "Never", with the default of Kubernetes' API by the tag. */
const char *image_pull_policy(const json_t *image, const json_t *container);
