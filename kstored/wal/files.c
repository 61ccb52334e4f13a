/* The write-ahead log's files in a data directory. */
#include "kstored/wal/files.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "lib/fileio.h"

static const char prefix[] = "kstored.log.";

struct wal_file {
        int fd;
};

static char *path_of(void *folder, const char *name) {
        return strformat("%s/%s%s", (const char *)folder, prefix, name);
}

static int files_list(void *folder, char ***ret) {
        _cleanup_strv_free_ char **all = NULL, **names = NULL;
        int r = file_list(folder, &all);

        for (char **name = all; r >= 0 && name && *name; name++) {
                const char *rest = startswith(*name, prefix);

                if (rest)
                        r = strv_extend(&names, rest);
        }
        if (r < 0)
                return r;
        *ret = TAKE_PTR(names);
        return 0;
}

static int files_open(void *folder, const char *name, bool make, struct wal_file **ret) {
        _cleanup_free_ char *path = path_of(folder, name);
        struct wal_file *f = calloc(1, sizeof(*f));

        if (!path || !f) {
                free(f);
                return -ENOMEM;
        }
        f->fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make ? O_CREAT : 0), 0600);
        if (f->fd < 0) {
                free(f);
                return -errno;
        }
        *ret = f;
        return 0;
}

static struct wal_file *files_close(struct wal_file *f) {
        if (f)
                safe_close(f->fd);
        return mfree(f);
}

static int files_size(struct wal_file *f, uint64_t *ret) {
        struct stat st;

        if (fstat(f->fd, &st) < 0)
                return -errno;
        *ret = (uint64_t)st.st_size;
        return 0;
}

static int files_read(struct wal_file *f, void *data, size_t n, uint64_t at) {
        char *p = data;

        while (n > 0) {
                ssize_t m = pread(f->fd, p, n, (off_t)at);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m <= 0)
                        return m < 0 ? -errno : -EIO;
                p += m;
                n -= (size_t)m;
                at += (uint64_t)m;
        }
        return 0;
}

static int files_write(struct wal_file *f, const void *data, size_t n, uint64_t at) {
        const char *p = data;

        while (n > 0) {
                ssize_t m = pwrite(f->fd, p, n, (off_t)at);

                if (m < 0 && errno == EINTR)
                        continue;
                if (m < 0)
                        return errno == EDQUOT ? -ENOSPC : -errno;
                p += m;
                n -= (size_t)m;
                at += (uint64_t)m;
        }
        return 0;
}

static int files_sync(struct wal_file *f) {
        return fdatasync(f->fd) < 0 ? errno == EDQUOT ? -ENOSPC : -errno : 0;
}

static int files_rename(void *folder, const char *from, const char *to) {
        _cleanup_free_ char *a = path_of(folder, from), *b = path_of(folder, to);

        if (!a || !b)
                return -ENOMEM;
        return rename(a, b) < 0 ? -errno : 0;
}

static int files_remove(void *folder, const char *name) {
        _cleanup_free_ char *path = path_of(folder, name);

        if (!path)
                return -ENOMEM;
        return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

static int files_sync_names(void *folder) {
        return sync_folder(folder);
}

static const struct wal_file_ops ops = {.list = files_list,
                .open = files_open,
                .close = files_close,
                .size = files_size,
                .read = files_read,
                .write = files_write,
                .sync = files_sync,
                .rename = files_rename,
                .remove = files_remove,
                .sync_names = files_sync_names};

int wal_files_new(struct wal_folder *ret, const char *folder) {
        char *copy = strdup(folder);

        if (!copy)
                return -ENOMEM;
        *ret = (struct wal_folder){.ops = &ops, .folder = copy};
        return 0;
}

void wal_files_done(struct wal_folder *f) {
        free(f->folder);
        *f = (struct wal_folder){0};
}
