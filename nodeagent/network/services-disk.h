/* Services and slices on disk, so that a machine that starts without the control plane has them: a
 * file of one object a line, replaced as a whole. */
#pragma once

#include "lib/json.h"

/* objects: an array that must not change meanwhile. Blocks (thousands of objects, fsync): call it
 * on a worker thread. The file has mode 0600. */
int services_disk_save(const char *path, const json_t *objects);
/* Calls func for each object of the file; stops with an error at a line that cannot be read.
 * -ENOENT when there is no file. */
int services_disk_load(const char *path, void (*func)(const json_t *object, void *userdata),
                void *userdata);
