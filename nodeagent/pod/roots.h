/* The roots of containers with an OCI image: an overlay of the image's root, which nothing changes,
 * and a folder of the container's own, which holds what it writes and goes with it. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "nodeagent/pod/trash.h"

/* Mounts the container's root with an empty writable layer, in place of the one that is there.
 * Nothing happens for units without "root" (plan/image.h). trash: takes the old layer, or NULL.
 * -errno with p, which names the container. */
int root_make(const json_t *unit, struct trash *trash, struct problem *p);
