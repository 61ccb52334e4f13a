/* The mirrors in the data directory, one a GitSync, named by its uid; beside it "<uid>.home" (keys
 * of hosts). */
#pragma once

#include "lib/base.h"

/* Removes the mirror of a deleted GitSync. */
void mirrors_remove(const char *data_dir, const char *uid);
/* Removes the mirrors of GitSyncs that is_known() does not know: they were deleted while kgitd was
 * not running. Other files in the folder stay. */
void mirrors_sweep(const char *data_dir, bool (*is_known)(const char *uid, void *userdata),
                void *userdata);
