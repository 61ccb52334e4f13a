/* Files of whole databases. */
#include "kstored/snapshot/state-file.h"

#include <fcntl.h>
#include <sys/stat.h>

int state_file_open(struct state_file *f, uint64_t *ret_size) {
        struct stat st;

        f->fd = open(f->path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (f->fd < 0 || fstat(f->fd, &st) < 0)
                return -errno;
        (void)unlink(f->path);
        f->hash = sha256_new();
        if (!f->hash)
                return -ENOMEM;
        *ret_size = (uint64_t)st.st_size;
        return 0;
}

void state_file_done(struct state_file *f) {
        sha256_free(f->hash);
        safe_close(f->fd);
        if (f->path)
                (void)unlink(f->path);
        free(f->path);
        *f = (struct state_file){.fd = -EBADF};
}
