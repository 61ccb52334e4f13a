/* Checks of the machine's file system right before a container starts. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Shows each part of a volume that the unit mounts (subPath) from its place in the agent's own
 * folder, and checks that its image and host folders are what their paths say. No link leads out
 * of a volume, whoever changes the volume meanwhile: the kernel resolves below the volume's root
 * and the mount is made from the file descriptor (CVE-2017-1002101, CVE-2021-25741). -EINVAL and
 * other errors with p, which names the mount. volumes: of pod_volumes(). */
int stage_container(const json_t *unit, const json_t *volumes, struct problem *p);
/* Unmounts everything at or below this folder, the last mount first. */
void stage_unmount_below(const char *dir);
