/* Shared by store.c and ingest.c. */
#pragma once

#include "nodeagent/image/store.h"

struct image_store {
        char *dir;
};

/* "DIR/KIND/NAME" with the digest's colon as '-' and an optional rest ("/root"). Caller frees. */
char *image_store_path(const struct image_store *s, const char *kind, const char *digest,
                const char *rest) _warn_unused_;
/* The path of a name's file. Caller frees. */
char *image_store_name_path(const struct image_store *s, const char *name) _warn_unused_;
/* The store's lock, until the descriptor is closed. errno. */
int image_store_lock(const struct image_store *s, int *ret_fd);
/* A JSON file of the store. -ENOENT, -EBADMSG, errno. */
int image_store_read(const char *path, json_t **ret);
/* The record of an id with lastUsed, root and the names that are its own. -ENOENT. */
int image_store_record(struct image_store *s, const char *id, json_t **ret);
/* Moves a file or folder to trash/. 0 also when it is not there. */
int image_store_discard(const struct image_store *s, const char *path);
/* The name of the file in an ingest's folder that lists the layers it claims, and of its lock. */
#define INGEST_CLAIMS "claims"
#define INGEST_LOCK "lock"
