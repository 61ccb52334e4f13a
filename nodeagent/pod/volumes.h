/* Makes the folders that pod_volumes() planned, and takes them down again. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"
#include "nodeagent/pod/trash.h"

/* Mounts the ramfs for secrets, once at start: they never reach a disk, not by swapping either. */
int volumes_mount_secrets(const char *dir);
/* Makes or refreshes all volumes of a pod. p names the volume. */
int volumes_make(const json_t *volumes, struct problem *p);
/* Whether the files of ConfigMaps, Secrets and so on are as they were made: 0; 1 with the first
 * that is not ("app.conf of volume config"), caller frees. -errno. */
int volumes_check(const json_t *volumes, char **ret);
/* Makes all of them again. */
int volumes_restore(const json_t *volumes, struct problem *p);
/* Writes the files that a unit's commands are started from, and makes those the container writes
 * to. They are for the pod's user to read; above them is a folder that only root can enter. */
int volumes_write_commands(const json_t *unit);
/* Removes the command files again (those of a unit that ran once). */
void volumes_remove_commands(const json_t *unit);
/* Removes what is in these folders, mounts first; the volumes on disk through trash. */
int volumes_remove(struct trash *trash, const char *disk_dir, const char *run_dir,
                const char *secret_dir);
/* Removes the folders in dir whose names (uids) the function does not know, mounts first. */
void volumes_sweep(
                const char *dir, bool (*is_known)(const char *uid, void *userdata), void *userdata);
