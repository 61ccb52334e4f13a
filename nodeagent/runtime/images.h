/* Resolves a container's image on this machine: a separate step before the plan is made,
 * because some day an image has to be fetched first. A kind of image is a row in images.c. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Resolves the images of all containers of a pod: {container name: image}, where image is
 *
 *      {"root": "host"}                        the machine's own root
 *      {"root": "directory", "path": "/srv/x"} a root file system in a directory
 *      {"root": "raw", "path": "/srv/x.raw"}   a disk image
 *
 * Pure: the paths are tidy and allowed, but it is not checked that they exist. -EINVAL with p
 * (reason InvalidImageName) for the first image that this node cannot run. */
int images_resolve(const json_t *pod, json_t **ret, struct problem *p);
/* Why this absolute path can't be a container's root, or NULL. "/" can't; nor folders that pods
 * can write to or that belong to the system. */
const char *image_path_problem(const char *path);
