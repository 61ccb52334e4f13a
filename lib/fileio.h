/* Files read whole and written atomically. */
#pragma once

#include <sys/types.h>
#include <time.h>

#include "lib/base.h"

/* Reads a regular file of at most size_max bytes; NUL-terminated for convenience. -EFBIG above. */
int file_read(const char *path, size_t size_max, char **ret, size_t *ret_size);
/* fsync of a folder: names made, renamed or removed in it are durable. */
int sync_folder(const char *path);
/* Writes through a temporary file in the same folder, fsync, rename, fsync of the folder: after a
 * crash the old or the new content is there, whole. */
int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode);
/* A file without a path that holds the text; the name is for /proc. NULL: nothing is made. */
int file_in_memory(int *ret_fd, const char *name, const char *text);
/* Writes all of it, however many calls that takes. */
int file_write_all(int fd, const void *data, size_t n);
/* Makes a rename or a new name in the folder of this path durable. */
int file_sync_folder_of(const char *path);
/* Makes a folder and its parents. 0 also when it is there. */
int mkdir_parents(const char *path, mode_t mode);
/* What changes when a file is replaced or written. All zero: there is no such file. */
struct file_stamp {
        dev_t dev;
        ino_t ino;
        off_t size;
        struct timespec changed;
};
void file_stamp_read(const char *path, struct file_stamp *ret);
bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b);
/* The names in a folder but "." and "..", in no order. */
int file_list(const char *path, char ***ret);
/* Makes a link, in place of what had the name. */
int symlink_atomic(const char *target, const char *path);
/* Removes a tree, however deep, without following links or crossing mounts. 0 when it is not there;
 * on an error it removes what it can and returns the first. */
int remove_tree(const char *path);
/* The same for a name in an open folder. */
int remove_tree_at(int parent, const char *name);
/* Full disk, read-only, no permission: a sentence with path, cause and remedy for a user. Caller
 * frees. */
char *file_error_text(const char *path, const char *what, int error) _warn_unused_;
/* A free name for a file or folder that is put aside: PATH.WHY-20240102T030405Z, then with -2 and
 * so on after it. Caller frees; NULL when there is none. */
char *file_aside_name(const char *path, const char *why) _warn_unused_;
