/* A whole database in a file beside ours, on its way to a client or a member, or from one. */
#pragma once

#include "lib/crypto.h"

struct state_file {
        char *path;
        int fd;              /* -EBADF: not open */
        struct sha256 *hash; /* of what went through it; NULL: not begun */
};

/* Opens the path for reading and begins the hash. The name goes at once, the rest with the
 * descriptor. A negative errno leaves what state_file_done() cleans up. */
int state_file_open(struct state_file *f, uint64_t *ret_size);
/* Removes the file, too. */
void state_file_done(struct state_file *f);
