/* The folder of a local volume of this node, or of a volume on a share whose deletion is this
 * node's task: whether it goes, and removing it. */
#pragma once

#include "lib/json.h"

/* What follows from a volume, as a pure function of it. */
enum volume_end {
        VOLUME_STAYS,   /* it is not deleted, is in use by a claim, or is not this node's */
        VOLUME_KEEPS,   /* its data stays (Retain); only the finalizer goes */
        VOLUME_REMOVES, /* its folder is removed first */
};
enum volume_end local_volume_end(const json_t *volume, const char *node);
/* The order in which deleted volumes have their turns: by name, those after `last` (the name of the
 * last one; may be NULL) first. Whether a comes before b. */
bool local_volume_is_before(const char *last, const json_t *a, const json_t *b);
/* Removes the folder `name` in dir. No link is followed, and no mount is crossed. 0 also when there
 * is none; -EINVAL: not the name of a folder; -EXDEV: something is mounted there or in it. */
int local_volume_remove(const char *dir, const char *name);
/* The commands for shares_exec_start() that remove the folder of a volume of keelson.dev/nfs, or
 * rename it to "archived-<its name>", where its share is mounted. A folder that is not named after
 * the volume gets the volume's name, too: there may be several of its name. The caller unrefs. */
json_t *share_remove_command(const json_t *volume, const char *where) _warn_unused_;
