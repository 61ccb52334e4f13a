/* What a container's image is, by its name alone. A kind of image is a row in images.c. Whether an
 * OCI image is on this machine, and what is in it, is a question to the store (pod/image.c). */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* What the image of a container (of a pod's spec) is:
 *
 *      {"root": "host"}                        the machine's own root
 *      {"root": "directory", "path": "/srv/x"} a root file system in a directory
 *      {"root": "raw", "path": "/srv/x.raw"}   a disk image
 *      {"root": "oci", "name": "docker.io/library/nginx:1.25", "latest": false}
 *                                              an image of a registry or an archive
 *
 * "latest": it is pulled Always unless imagePullPolicy says otherwise. Pure: paths are tidy and
 * allowed, but it is not checked that they exist. -EINVAL with p (reason InvalidImageName). */
int image_resolve(const json_t *container, json_t **ret, struct problem *p);
/* Those of all containers of a pod: {container name: image}. The error is of the first one that
 * this node cannot run. */
int images_resolve(const json_t *pod, json_t **ret, struct problem *p);
/* Why this absolute path can't be a container's root, or NULL. "/" can't; nor folders that pods
 * can write to or that belong to the system. */
const char *image_path_problem(const char *path);
