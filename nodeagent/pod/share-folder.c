/* A share belongs to its server and to all of its clients, which may change it at any instant:
 * folders are opened below the share's root without following a link, and only descriptors are
 * used afterwards. */
#include "nodeagent/pod/share-folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fileio.h"
#include "nodeagent/pod/stage.h"

static bool is_mounted(const char *path) {
        struct statx st;

        return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, /* mask= */ 0,
                               &st) >= 0 &&
               (st.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static int open_share(const char *where) {
        int fd;

        if (!is_mounted(where))
                return -ENOTCONN;
        fd = open(where, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

int share_bind(const char *where, const char *folder, const char *sub, const char *target) {
        _cleanup_close_ int root = -EBADF, dir = -EBADF, fd = -EBADF;

        if (is_mounted(target))
                return 0;
        root = open_share(where);
        if (root < 0)
                return root;
        dir = stage_open_folder(root, folder, /* make= */ true);
        if (dir < 0)
                return dir;
        fd = *sub ? stage_open(dir, sub, /* make= */ true) : TAKE_FD(dir);
        return fd < 0 ? fd : stage_bind(fd, target);
}

/* The folder above and the name in it. */
static int split(const char *folder, char **ret_above, const char **ret_name) {
        const char *slash = strrchr(folder, '/');
        char *above = slash ? strndup(folder, (size_t)(slash - folder)) : strdup("");

        if (!above)
                return -ENOMEM;
        *ret_above = above;
        *ret_name = slash ? slash + 1 : folder;
        return 0;
}

static int rename_in(int dir, const char *name, const char *to) {
        struct stat st;

        /* NFS has no rename that keeps what is there. */
        if (fstatat(dir, to, &st, AT_SYMLINK_NOFOLLOW) >= 0)
                return -EEXIST;
        if (errno != ENOENT)
                return -errno;
        return renameat(dir, name, dir, to) < 0 ? -errno : 0;
}

int share_remove(const char *where, const char *folder, const char *archive) {
        _cleanup_close_ int root = open_share(where), dir = -EBADF;
        _cleanup_free_ char *above = NULL, *path = NULL;
        const char *name;
        struct stat st;
        int r;

        if (root < 0)
                return root;
        r = split(folder, &above, &name);
        if (r < 0)
                return r;
        dir = stage_open_folder(root, above, /* make= */ false);
        if (dir < 0)
                return dir == -ENOENT ? 0 : dir;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!S_ISDIR(st.st_mode))
                return S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR;
        if (*archive)
                return rename_in(dir, name, archive);
        path = strformat("/proc/self/fd/%d/%s", dir, name);
        return path ? remove_tree(path) : -ENOMEM;
}

/* ---- the subcommands ---- */

static const char *remedy(int error) {
        switch (-error) {
        case EACCES:
        case EPERM:
                return "; export the share with no_root_squash, or make its folder writable for "
                       "others";
        case EROFS:
                return "; export the share for writing";
        case ELOOP:
        case EXDEV:
                return ": a link is in the way, or leads out of the folder";
        case ENOTCONN:
                return ": the share is not mounted";
        case ENOSPC:
        case EDQUOT:
                return "; free some space on the server";
        default:
                return "";
        }
}

static int report(const char *file, const char *what, const char *folder, int error) {
        _cleanup_free_ char *text = NULL;

        if (error >= 0)
                return 0;
        text = strformat("cannot %s %s on the share: %s%s", what, *folder ? folder : "the folder",
                        strerror(-error), remedy(error));
        if (!text)
                return 1;
        fprintf(stderr, "knodeagent: %s\n", text);
        (void)file_write_atomic(file, text, strlen(text), 0600);
        return 1;
}

int share_bind_main(char **arguments) {
        return report(arguments[0], "use", *arguments[3] ? arguments[3] : arguments[2],
                        share_bind(arguments[1], arguments[2], arguments[3], arguments[4]));
}

int share_remove_main(char **arguments) {
        return report(arguments[0], *arguments[3] ? "archive" : "remove", arguments[2],
                        share_remove(arguments[1], arguments[2], arguments[3]));
}
