/* openat2(2) below one folder. */
#include "nodeagent/image/beneath.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include "lib/buf.h"
#include "lib/fileio.h"

enum { TRIES_MAX = 16 };

int beneath_path(const char *path, size_t path_max, size_t depth_max, char **ret) {
        _cleanup_buf_ struct buf b = {0};
        size_t parts = 0;

        if (strlen(path) > path_max)
                return -ENAMETOOLONG;
        for (const char *s = path; *s;) {
                size_t n = strcspn(s, "/");

                if (n > NAME_MAX)
                        return -ENAMETOOLONG;
                if (n == 2 && s[0] == '.' && s[1] == '.')
                        return -EPERM;
                if (n > 0 && !(n == 1 && s[0] == '.')) {
                        if (++parts > depth_max)
                                return -ENAMETOOLONG;
                        if (b.size > 0)
                                buf_append_char(&b, '/');
                        buf_append(&b, s, n);
                }
                s += n + (s[n] == '/');
        }
        *ret = buf_take(&b);
        return *ret ? 0 : -ENOMEM;
}

int beneath_open(int root, const char *path, int flags) {
        struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};

        /* The kernel asks to try again when a rename elsewhere came between. */
        for (int i = 0; i < TRIES_MAX; i++) {
                long fd = syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof(how));

                if (fd >= 0)
                        return (int)fd;
                if (errno != EAGAIN)
                        return -errno;
        }
        return -EAGAIN;
}

int beneath_parent(int root, const char *path, const char **ret_name) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *above = strndup(path, slash ? (size_t)(slash - path) : 0);
        int fd;

        if (!above)
                return -ENOMEM;
        fd = beneath_open(root, above, O_PATH | O_DIRECTORY);
        if (fd >= 0)
                *ret_name = slash ? slash + 1 : path;
        return fd;
}

int beneath_remove(int root, const char *path) {
        const char *name;
        _cleanup_close_ int parent = beneath_parent(root, path, &name);

        if (parent < 0)
                return parent == -ENOENT || parent == -ENOTDIR ? 0 : parent;
        return remove_tree_at(parent, name);
}
