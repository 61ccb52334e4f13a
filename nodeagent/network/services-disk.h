/* Services and slices on disk, so that a machine that starts without the control plane has them: a
 * file of one object a line. Changes are appended; a line {"gone": "namespace/name", "slice": BOOL}
 * takes an object back. */
#pragma once

#include "lib/json.h"

/* Replaces the file as a whole. objects: an array that must not change meanwhile. Blocks (thousands
 * of objects, fsync): call it on a worker thread. The file has mode 0600. */
int services_disk_save(const char *path, const json_t *objects);
/* Appends lines. As above. */
int services_disk_append(const char *path, const json_t *lines);

struct services_reader;
/* -ENOENT when there is no file. */
int services_reader_open(struct services_reader **ret, const char *path);
struct services_reader *services_reader_free(struct services_reader *reader);
DEFINE_CLEANUP(struct services_reader *, services_reader_free);
/* The next line. 1; 0 at the end; -EINVAL at a line that cannot be read: no further one can. The
 * caller unrefs. */
int services_reader_next(struct services_reader *reader, json_t **ret);
