/* Whole files, written so that a crash leaves the old or the new content. */
#include "lib/fileio.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "lib/random.h"
#include "lib/timefmt.h"

enum { ASIDE_NAMES_MAX = 100 };

int file_read(const char *path, size_t size_max, char **ret, size_t *ret_size) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        _cleanup_free_ char *data = NULL;
        size_t size = 0, room = 4096;
        struct stat st;

        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return -EISDIR;
        if (S_ISREG(st.st_mode) && st.st_size > 0) {
                if ((uint64_t)st.st_size > size_max)
                        return -EFBIG;
                room = (size_t)st.st_size + 1;
        }
        for (;;) {
                char *grown = realloc(data, room + 1);
                ssize_t n;

                if (!grown)
                        return -ENOMEM;
                data = grown;
                n = read(fd, data + size, room - size);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0)
                        break;
                size += (size_t)n;
                if (size > size_max)
                        return -EFBIG;
                if (size == room)
                        room *= 2;
        }
        data[size] = 0;
        *ret = TAKE_PTR(data);
        if (ret_size)
                *ret_size = size;
        return 0;
}

int file_write_all(int fd, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                ssize_t k = write(fd, p, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                p += k;
                n -= (size_t)k;
        }
        return 0;
}

int file_in_memory(int *ret_fd, const char *name, const char *text) {
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!text)
                return 0;
        fd = memfd_create(name, MFD_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = file_write_all(fd, text, strlen(text));
        if (r < 0)
                return r;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int sync_folder(const char *path) {
        _cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int file_sync_folder_of(const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *folder =
                        slash ? strndup(path, MAX((size_t)(slash - path), (size_t)1)) : strdup(".");

        return folder ? sync_folder(folder) : -ENOMEM;
}

int file_write_atomic(const char *path, const void *data, size_t n, mode_t mode) {
        _cleanup_free_ char *temporary = strformat("%s.tmp-XXXXXX", path);
        _cleanup_close_ int fd = -EBADF;
        int r;

        if (!temporary)
                return -ENOMEM;
        fd = mkostemp(temporary, O_CLOEXEC);
        if (fd < 0)
                return -errno;
        r = file_write_all(fd, data, n);
        if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0 || rename(temporary, path) < 0))
                r = -errno;
        if (r < 0) {
                (void)unlink(temporary);
                return r;
        }
        return file_sync_folder_of(path);
}

static void close_folder(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

int file_list(const char *path, char ***ret) {
        _cleanup_strv_free_ char **names = NULL;
        _cleanup_(close_folder) DIR *d = opendir(path);
        struct dirent *e;
        int r;

        if (!d)
                return -errno;
        while ((errno = 0, e = readdir(d))) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                r = strv_extend(&names, e->d_name);
                if (r < 0)
                        return r;
        }
        if (errno != 0)
                return -errno;
        *ret = TAKE_PTR(names);
        return 0;
}

int mkdir_parents(const char *path, mode_t mode) {
        _cleanup_free_ char *p = strdup(path);

        if (!p)
                return -ENOMEM;
        for (char *slash = strchr(p + 1, '/');; slash = strchr(slash + 1, '/')) {
                struct stat st;

                if (slash)
                        *slash = 0;
                if (mkdir(p, mode) < 0) {
                        if (errno != EEXIST)
                                return -errno;
                        if (stat(p, &st) < 0)
                                return -errno;
                        if (!S_ISDIR(st.st_mode))
                                return -ENOTDIR;
                }
                if (!slash)
                        return 0;
                *slash = '/';
        }
}

enum { REMOVE_DEPTH_MAX = 64, REMOVE_NAMES_MAX = 100 };

struct removal {
        int top;             /* the tree's own folder */
        dev_t device;        /* other file systems are not entered */
        unsigned long moved; /* folders that this pass has moved up to top */
        uint64_t serial;     /* starts at random: no other program can have used the names before */
};

/* Puts a folder that lies too deep right below the top, where the next pass finds it: however deep
 * a tree is, few folders are open at a time and no path grows long. */
static int lift_folder(struct removal *x, int parent, const char *name) {
        for (int i = 0; i < REMOVE_NAMES_MAX; i++) {
                char up[48];

                snprintf(up, sizeof(up), ".keelson-removed-%016llx",
                                (unsigned long long)x->serial++);
                if (renameat(parent, name, x->top, up) >= 0) {
                        x->moved++;
                        return 0;
                }
                if (errno != EEXIST && errno != ENOTEMPTY && errno != ENOTDIR)
                        return -errno;
        }
        return -EMLINK;
}

/* A bind mount may be of the same device. */
static bool is_mount_root(int fd) {
        struct statx st;

        return statx(fd, "", AT_EMPTY_PATH, 0, &st) >= 0 &&
               (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int remove_children(struct removal *x, int fd, unsigned depth);

static int remove_entry(struct removal *x, int parent, const char *name, unsigned depth) {
        struct stat st;
        int fd, r;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return unlinkat(parent, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        if (st.st_dev != x->device)
                return -EXDEV;
        if (unlinkat(parent, name, AT_REMOVEDIR) >= 0)
                return 0;
        if (depth >= REMOVE_DEPTH_MAX)
                return lift_folder(x, parent, name);
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        if (is_mount_root(fd)) {
                close(fd);
                return -EXDEV;
        }
        r = remove_children(x, fd, depth + 1);
        if (r < 0)
                return r;
        return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

/* Takes fd. Continues after an error, so that as little as possible remains. */
static int remove_children(struct removal *x, int fd, unsigned depth) {
        DIR *d = fdopendir(fd);
        int first = 0;

        if (!d) {
                close(fd);
                return -ENOMEM;
        }
        for (struct dirent *e; (e = readdir(d));)
                if (!streq(e->d_name, ".") && !streq(e->d_name, "..")) {
                        int r = remove_entry(x, dirfd(d), e->d_name, depth);

                        first = first < 0 ? first : r;
                }
        closedir(d);
        return first;
}

int symlink_atomic(const char *target, const char *path) {
        _cleanup_free_ char *fresh = strformat("%s.%016llx", path, (unsigned long long)random_u64());
        int r;

        if (!fresh)
                return -ENOMEM;
        if (symlink(target, fresh) < 0)
                return -errno;
        if (rename(fresh, path) == 0)
                return 0;
        r = -errno;
        (void)unlink(fresh);
        return r;
}

int remove_tree_at(int parent, const char *name) {
        _cleanup_close_ int top = -EBADF;
        struct removal x = {0};
        struct stat st;
        int r;

        if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return unlinkat(parent, name, 0) < 0 && errno != ENOENT ? -errno : 0;
        top = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (top < 0)
                return -errno;
        x.top = top;
        x.device = st.st_dev;
        random_bytes(&x.serial, sizeof(x.serial));
        do {
                int fd = openat(top, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                x.moved = 0;
                r = fd < 0 ? -errno : remove_children(&x, fd, 0);
        } while (x.moved > 0);
        if (r < 0)
                return r;
        return unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int remove_tree(const char *path) {
        return remove_tree_at(AT_FDCWD, path);
}

char *file_error_text(const char *path, const char *what, int error) {
        const char *remedy = "";

        switch (abs(error)) {
        case ENOSPC:
        case EDQUOT:
                remedy = "; free some space there";
                break;
        case EACCES:
        case EPERM:
                remedy = "; run as a user who may do that, or change its permissions";
                break;
        case EROFS:
                remedy = "; choose a place that can be written";
                break;
        case ENOENT:
                remedy = "; check the path";
                break;
        }
        return strformat("cannot %s %s: %s%s", what, path, strerror(abs(error)), remedy);
}

char *file_aside_name(const char *path, const char *why) {
        char now[TIMEFMT_SIZE], compact[TIMEFMT_SIZE];
        size_t n = 0;

        for (const char *c = time_format(now_wall_us(), now); *c; c++)
                if (*c != '-' && *c != ':')
                        compact[n++] = *c;
        compact[n] = 0;
        for (int i = 1; i <= ASIDE_NAMES_MAX; i++) {
                char *name = i == 1 ? strformat("%s.%s-%s", path, why, compact)
                                    : strformat("%s.%s-%s-%d", path, why, compact, i);
                struct stat st;

                if (!name || lstat(name, &st) < 0)
                        return name;
                free(name);
        }
        return NULL;
}

void file_stamp_read(const char *path, struct file_stamp *ret) {
        struct stat st;

        *ret = (struct file_stamp){0};
        if (stat(path, &st) == 0)
                *ret = (struct file_stamp){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
}

bool file_stamp_equal(const struct file_stamp *a, const struct file_stamp *b) {
        return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
               a->changed.tv_sec == b->changed.tv_sec && a->changed.tv_nsec == b->changed.tv_nsec;
}
