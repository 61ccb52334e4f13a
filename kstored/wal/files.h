/* The files of a write-ahead log, by short names such as "mark": a folder on a disk in the program,
 * a simulated disk in tests/sim. All return a negative errno on failure. */
#pragma once

#include "lib/base.h"

struct wal_file;

struct wal_file_ops {
        int (*list)(void *folder, char ***ret_names);
        int (*open)(void *folder, const char *name, bool make, struct wal_file **ret);
        struct wal_file *(*close)(struct wal_file *f); /* accepts NULL, returns NULL */
        int (*size)(struct wal_file *f, uint64_t *ret);
        /* All n bytes, or an error. */
        int (*read)(struct wal_file *f, void *data, size_t n, uint64_t at);
        int (*write)(struct wal_file *f, const void *data, size_t n, uint64_t at);
        int (*sync)(struct wal_file *f);
        int (*rename)(void *folder, const char *from, const char *to);
        int (*remove)(void *folder, const char *name);
        int (*sync_names)(void *folder);
};

struct wal_folder {
        const struct wal_file_ops *ops;
        void *folder;
};

/* Files PREFIX.NAME in a folder of the file system: "FOLDER/kstored.log.mark". */
int wal_files_new(struct wal_folder *ret, const char *folder);
void wal_files_done(struct wal_folder *f);
