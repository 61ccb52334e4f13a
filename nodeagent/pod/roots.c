/* Overlay mounts (kernel, Documentation/filesystems/overlayfs.rst). They are made in the machine's
 * own mount namespace, below the pod's folder in /run, so that the units see them; systemd takes
 * them along when a container starts, so that the mount can be replaced while an old run of it
 * still ends. They survive the agent; after a reboot each start makes them again.
 *
 * The file system of the agent's folder may refuse to hold a writable layer (it is an overlay
 * itself, or NFS). Then the layer is in memory, of bounded size. */
#include "nodeagent/pod/roots.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/log.h"

#define REASON "CreateContainerError"
#define MEMORY_OPTIONS "mode=0700,size=10%"

enum { STACKED_MAX = 64, DEPTH_MAX = 64, OPTIONS_MAX = 4000 };

static void unmount_all(const char *path) {
        for (int i = 0; i < STACKED_MAX && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) >= 0; i++)
                ;
}

/* An empty folder with "upper" and "work"; what was there goes. */
static int make_layer(const char *dir, struct trash *trash) {
        _cleanup_free_ char *upper = strformat("%s/upper", dir), *work = strformat("%s/work", dir);
        int r;

        if (!upper || !work)
                return -ENOMEM;
        r = trash ? trash_put(trash, dir) : remove_tree(dir);
        if (r < 0)
                return r;
        r = mkdir_parents(dir, 0700);
        if (r < 0)
                return r;
        return mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0 ? -errno : 0;
}

/* The layer's folder is the root folder of the container: it looks as in the image. */
static int look_like(const char *lower, const char *dir) {
        _cleanup_free_ char *upper = strformat("%s/upper", dir);
        struct stat st;

        if (!upper)
                return -ENOMEM;
        if (stat(lower, &st) < 0 || lchown(upper, st.st_uid, st.st_gid) < 0 ||
                        chmod(upper, st.st_mode & 07777) < 0)
                return -errno;
        return 0;
}

/* A path in the options of an overlay: ':' and ',' have a meaning there. */
static bool is_plain(const char *path) {
        return path[0] == '/' && !strpbrk(path, ":,\\");
}

static int mount_overlay(const char *lower, const char *dir, const char *place) {
        _cleanup_free_ char *options = NULL;
        int r;

        if (!is_plain(lower) || !is_plain(dir))
                return -EINVAL;
        r = look_like(lower, dir);
        if (r < 0)
                return r;
        options = strformat("lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, dir, dir);
        if (!options)
                return -ENOMEM;
        if (strlen(options) > OPTIONS_MAX)
                return -ENAMETOOLONG;
        if (mount("keelson-root", place, "overlay", MS_NODEV, options) < 0)
                return -errno;
        /* Taking it away later must not reach anything else. */
        return mount(NULL, place, NULL, MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* The writable layer in a file system in memory. */
static int mount_in_memory(const char *lower, const char *dir, const char *place) {
        _cleanup_free_ char *layer = strformat("%s/layer", dir);
        int r;

        if (!layer)
                return -ENOMEM;
        unmount_all(dir);
        r = mkdir_parents(dir, 0700);
        if (r < 0)
                return r;
        if (mount("keelson-root", dir, "tmpfs", MS_NODEV, MEMORY_OPTIONS) < 0)
                return -errno;
        r = make_layer(layer, /* trash= */ NULL);
        if (r < 0)
                return r;
        return mount_overlay(lower, layer, place);
}

/* Mounts the root; the old mount goes at the last moment. */
static int mount_root(const json_t *root, struct trash *trash) {
        const char *lower = json_str_or(root, "lower", ""), *own = json_str_or(root, "own", ""),
                   *place = json_str_or(root, "place", "");
        int r = make_layer(own, trash);

        if (r < 0)
                return r;
        r = mkdir_parents(place, 0755);
        if (r < 0)
                return r;
        unmount_all(place);
        r = mount_overlay(lower, own, place);
        if (r != -EINVAL)
                return r;
        log_debug("The writable layer at %s is in memory: the file system of %s cannot hold one",
                        place, own);
        return mount_in_memory(lower, json_str_or(root, "memory", ""), place);
}

/* ---- folders that must be there ---- */

static int open_in_root(int root, const char *path) {
        struct open_how how = {.flags = O_PATH | O_CLOEXEC | O_DIRECTORY,
                        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
        long fd = syscall(SYS_openat2, root, path, &how, sizeof(how));

        return fd < 0 ? -errno : (int)fd;
}

/* Makes a folder and those above it in the root, which may have links anywhere: they are followed
 * as the container would, never out of it. */
static int make_folder(int root, const char *path) {
        size_t depth = 0;

        for (const char *s = path + 1; *s; depth++) {
                const char *end = strchrnul(s, '/');
                _cleanup_free_ char *above = strndup(path, (size_t)(s - path)),
                                    *name = strndup(s, (size_t)(end - s));
                _cleanup_close_ int parent = -EBADF;

                if (!above || !name)
                        return -ENOMEM;
                if (depth > DEPTH_MAX)
                        return -ENAMETOOLONG;
                parent = open_in_root(root, above);
                if (parent < 0)
                        return parent;
                if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
                        return -errno;
                s = *end ? end + 1 : end;
        }
        return 0;
}

static int make_folders(const json_t *root, const char *container, struct problem *p) {
        _cleanup_close_ int fd =
                        open(json_str_or(root, "place", ""), O_PATH | O_DIRECTORY | O_CLOEXEC);
        const json_t *v;
        size_t i;

        if (fd < 0)
                return -errno;
        json_array_foreach (json_at(root, "folders"), i, v) {
                const char *path = strempty(json_string_value(v));
                int r = make_folder(fd, path);

                if (r < 0)
                        return problem_set(p, -r, 0, REASON,
                                        "container %s: the folder %s cannot be made in its root: "
                                        "%s; correct workingDir, or the image",
                                        container, path, strerror(-r));
        }
        return 0;
}

int root_make(const json_t *unit, struct trash *trash, struct problem *p) {
        const json_t *root = json_at(unit, "root");
        const char *container = json_str_or(unit, "container", "");
        int r;

        if (!root)
                return 0;
        r = mount_root(root, trash);
        if (r < 0)
                return problem_set(p, -r, 0, REASON,
                                "container %s: its root cannot be mounted at %s: %s%s", container,
                                json_str_or(root, "place", ""), strerror(-r),
                                r == -ENODEV ? "; the kernel of this node has no overlay file "
                                               "system: load it with `modprobe overlay`"
                                : r == -ENOSPC || r == -EDQUOT ? "; free space on the disk of "
                                                                 "/var/lib/keelson"
                                                               : "");
        return make_folders(root, container, p);
}
