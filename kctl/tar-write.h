/* Writes a .tar.gz of small text files (POSIX ustar). */
#pragma once

#include "lib/problem.h"

struct tar_writer;

/* Makes the file, which must not exist, with mode 0600. Every name in it begins with `folder`. p
 * says what failed. */
int tar_writer_new(
                struct tar_writer **ret, const char *path, const char *folder, struct problem *p);
/* A member; its name, with folders before it, is made safe for a file system. */
int tar_writer_add(struct tar_writer *t, const char *name, const void *data, size_t n,
                struct problem *p);
/* Writes the end and syncs. */
int tar_writer_finish(struct tar_writer *t, struct problem *p);
/* Without tar_writer_finish() the file is removed. NULL is fine; returns NULL. */
struct tar_writer *tar_writer_free(struct tar_writer *t);
DEFINE_CLEANUP(struct tar_writer *, tar_writer_free);
