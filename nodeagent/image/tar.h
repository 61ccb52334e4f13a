/* A stream of tar, plain or compressed, read entry by entry: the home of libarchive. The stream is
 * decompressed once, hashed and counted on the way, and only then parsed; so the digest covers all
 * of it, and a bomb ends where its limit is. */
#pragma once

#include "nodeagent/image/cause.h"

struct tar;

struct tar_options {
        int fd;                    /* read from where it stands to its end; may be a pipe */
        const char *digest;        /* of the decompressed stream; NULL: not checked */
        uint64_t stream_bytes_max; /* of the decompressed stream */
        uint64_t ratio_max;        /* decompressed per compressed bytes, beyond the first 64 MiB */
        void (*on_progress)(uint64_t done, void *userdata); /* compressed bytes; may be NULL */
        void *userdata;
};

enum tar_type { TAR_FILE, TAR_FOLDER, TAR_LINK, TAR_HARD_LINK, TAR_FIFO, TAR_OTHER };

struct tar_entry {
        enum tar_type type;
        const char *path, *target; /* as they are in the archive; target: of both kinds of links */
        uint32_t mode;             /* permission bits, set-id and sticky too */
        uint32_t uid, gid;
        int64_t time_s;
        long time_ns;
        uint64_t size; /* of files */
};

/* 0; errors fill p. options' strings are borrowed. */
int tar_new(struct tar **ret, const struct tar_options *options, struct problem *p);
struct tar *tar_free(struct tar *t);
DEFINE_CLEANUP(struct tar *, tar_free);
/* 1 with the next entry, whose strings hold until the next call; 0 at the end, after the digest was
 * checked; -errno with p. */
int tar_next(struct tar *t, struct tar_entry *ret, struct problem *p);
/* Calls for each extended attribute of the entry; a negative result ends it and is returned. */
int tar_each_attribute(struct tar *t,
                int (*func)(const char *name, const void *value, size_t size, void *userdata),
                void *userdata);
/* Writes the entry's contents to the file; holes stay holes. `room` is called with the number of
 * bytes that follow and may refuse (-errno with p); may be NULL. */
int tar_data(struct tar *t, int fd, int (*room)(uint64_t bytes, void *userdata, struct problem *p),
                void *userdata, struct problem *p);
