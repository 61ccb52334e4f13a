/* Makes the folders that pod_volumes() planned, and takes them down again. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Mounts the ramfs for secrets, once at start: they never reach a disk, not by swapping either. */
int volumes_mount_secrets(const char *dir);
/* Makes or refreshes all volumes of a pod. p names the volume. */
int volumes_make(const json_t *volumes, struct problem *p);
/* Writes a unit's secret environment where its EnvironmentFiles points. */
int volumes_write_environment(const json_t *unit);
/* Removes what is in these folders, mounts first. */
int volumes_remove(const char *disk_dir, const char *run_dir, const char *secret_dir);
/* Removes the folders in dir whose names (uids) the function does not know, mounts first. */
void volumes_sweep(
                const char *dir, bool (*is_known)(const char *uid, void *userdata), void *userdata);
