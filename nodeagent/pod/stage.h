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
/* For a command beside a running container (pod_exec_unit(), which is changed): the copy of /etc
 * without hidden files, where the container has none because an agent before this one has started
 * it. -errno. */
int stage_command(json_t *unit);
/* What a relative path means below a folder, as an O_PATH descriptor: no link leads out. make: a
 * missing folder is made, as open as the one above. -ELOOP: it is a link itself. */
int stage_open(int root, const char *sub, bool make);
/* The same without any link on the way. make: a missing folder, and those above it, are made with
 * the mode 0777, whatever the umask is. */
int stage_open_folder(int root, const char *folder, bool make);
/* Mounts what the descriptor is at path, in place of what is mounted there. */
int stage_bind(int fd, const char *path);
/* Unmounts everything at or below this folder, the last mount first. */
void stage_unmount_below(const char *dir);
