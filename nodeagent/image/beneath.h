/* Names in a folder that something from outside has filled: nothing leads out of it, neither "..",
 * nor absolute paths, nor links (openat2(2) with RESOLVE_IN_ROOT). */
#pragma once

#include "lib/base.h"

/* A path from outside as a relative one without ".", empty parts and slashes at its ends; "" is the
 * folder itself. A leading '/' is left out, as tar does. Caller frees *ret. -EPERM: it has "..";
 * -ENAMETOOLONG: it has more than path_max bytes, a part more than 255, or more than depth_max
 * parts; -EINVAL: it is not text; -ENOMEM. Pure. */
int beneath_path(const char *path, size_t path_max, size_t depth_max, char **ret);

/* Opens what a relative path ("" the folder itself) means in the root. -ELOOP with O_NOFOLLOW when
 * it is a link; errno. */
int beneath_open(int root, const char *path, int flags);
/* The folder that holds the path's last part, as an O_PATH descriptor. *ret_name points into path.
 * The path is not "". */
int beneath_parent(int root, const char *path, const char **ret_name);
/* Removes what is at the path, a folder with everything in it, without following a link. 0 also
 * when there is nothing. */
int beneath_remove(int root, const char *path);
