/* Layers onto a root. The layer's folders are made in the root, everything else is linked. Names
 * come from a layer that was unpacked beneath its own folder; in the root they are resolved beneath
 * it, because a lower layer may have a link where this one means a folder. */
#include "nodeagent/image/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/fileio.h"
#include "lib/map.h"
#include "lib/plain.h"
#include "nodeagent/image/beneath.h"
#include "nodeagent/image/cause.h"

enum {
        DEPTH_MAX = 300,
        PATH_MAX_BYTES = 4000,
        ATTRIBUTE_SIZE_MAX = 65536,
        NAMES_SIZE_MAX = 65536,
        PATH_SHOWN_MAX = 200,
};

static void close_folder(DIR **d) {
        if (*d)
                (void)closedir(*d);
}

/* Calls for each name in the folder but "." and "..". */
static int each_name(int folder, int (*func)(const char *name, void *userdata), void *userdata) {
        int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
        _cleanup_(close_folder) DIR *d = fd < 0 ? NULL : fdopendir(fd);

        if (!d) {
                r = -errno;
                safe_close(fd);
                return r;
        }
        for (struct dirent *e; (errno = 0, e = readdir(d));) {
                if (streq(e->d_name, ".") || streq(e->d_name, ".."))
                        continue;
                r = func(e->d_name, userdata);
                if (r < 0)
                        return r;
        }
        return -errno;
}

/* --- metadata and contents --- */

static int copy_attributes(int from, int to) {
        _cleanup_free_ char *names = malloc(NAMES_SIZE_MAX), *value = malloc(ATTRIBUTE_SIZE_MAX);
        ssize_t size;

        if (!names || !value)
                return -ENOMEM;
        size = flistxattr(from, names, NAMES_SIZE_MAX);
        if (size < 0)
                return errno == EOPNOTSUPP ? 0 : -errno;
        for (char *name = names; name < names + size; name += strlen(name) + 1) {
                ssize_t n;

                if (!startswith(name, "user.") && !streq(name, "security.capability"))
                        continue;
                n = fgetxattr(from, name, value, ATTRIBUTE_SIZE_MAX);
                if (n < 0 && errno == ENODATA)
                        continue;
                if (n < 0)
                        return -errno;
                if (fsetxattr(to, name, value, (size_t)n, 0) < 0 && errno != EOPNOTSUPP)
                        return -errno;
        }
        return 0;
}

/* Owner, attributes, mode: each takes away what came after it. */
static int copy_metadata(int from, int to) {
        struct stat st;
        int r;

        if (fstat(from, &st) < 0)
                return -errno;
        if (fchown(to, st.st_uid, st.st_gid) < 0 && errno != EPERM)
                return -errno;
        r = copy_attributes(from, to);
        if (r < 0)
                return r;
        return fchmod(to, st.st_mode & 07777) < 0 ? -errno : 0;
}

static int copy_times(int from, int to) {
        struct stat st;

        if (fstat(from, &st) < 0)
                return -errno;
        return futimens(to, (const struct timespec[2]){st.st_mtim, st.st_mtim}) < 0 ? -errno : 0;
}

static int copy_bytes(int from, int to) {
        ssize_t n;

        if (ioctl(to, FICLONE, from) == 0)
                return 0;
        while ((n = copy_file_range(from, NULL, to, NULL, 1 << 30, 0)) > 0)
                ;
        return n < 0 ? -errno : 0;
}

static int copy_file(int from_folder, int to_folder, const char *name) {
        _cleanup_close_ int from = openat(from_folder, name,
                                            O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
                            to = -EBADF;
        int r;

        if (from < 0)
                return -errno;
        to = openat(to_folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (to < 0)
                return -errno;
        r = copy_bytes(from, to);
        if (r < 0)
                return r;
        r = copy_metadata(from, to);
        return r < 0 ? r : copy_times(from, to);
}

/* A link or FIFO. */
static int copy_special(int from_folder, int to_folder, const char *name, const struct stat *st) {
        char target[4096];
        ssize_t n;

        if (S_ISLNK(st->st_mode)) {
                n = readlinkat(from_folder, name, target, sizeof(target) - 1);
                if (n < 0)
                        return -errno;
                target[n] = 0;
                if (symlinkat(target, to_folder, name) < 0)
                        return -errno;
        } else if (!S_ISFIFO(st->st_mode))
                return 0; /* no layer has others */
        else if (mkfifoat(to_folder, name, 0600) < 0 ||
                        fchmodat(to_folder, name, st->st_mode & 07777, 0) < 0)
                return -errno;
        if (fchownat(to_folder, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 &&
                        errno != EPERM)
                return -errno;
        return utimensat(to_folder, name, (const struct timespec[2]){st->st_mtim, st->st_mtim},
                               AT_SYMLINK_NOFOLLOW) < 0
                               ? -errno
                               : 0;
}

static int copy_any(int from_folder, int to_folder, const char *name) {
        struct stat st;

        if (fstatat(from_folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return S_ISREG(st.st_mode) ? copy_file(from_folder, to_folder, name)
                                   : copy_special(from_folder, to_folder, name, &st);
}

/* A further name for the file; a copy where the file system has no more names for it. */
static int link_or_copy(int from_folder, int to_folder, const char *name) {
        if (linkat(from_folder, name, to_folder, name, 0) >= 0)
                return 0;
        if (errno != EMLINK && errno != EPERM && errno != EXDEV && errno != EOPNOTSUPP)
                return -errno;
        return copy_any(from_folder, to_folder, name);
}

/* --- a layer --- */

struct merge {
        int root;
        struct map *implied; /* paths of folders whose owner and mode are a lower layer's */
};

/* One folder of the layer and its counterpart in the root. */
struct level {
        struct merge *merge;
        int layer, root;
        const char *path; /* "" for the root */
        unsigned depth;
};

static int merge_folder(struct merge *m, int layer, int root, const char *path, unsigned depth);

/* The root's counterpart of a folder in the layer: made when it is missing or not a folder. A link
 * stays where the layer only implies the folder, and where it leads to one. *ret_made: it is new.
 */
static int open_counterpart(const struct level *l, const char *name, const char *path, bool implied,
                int *ret, bool *ret_made) {
        const int flags = O_RDONLY | O_DIRECTORY;
        struct stat st;
        int fd;

        *ret_made = false;
        if (fstatat(l->root, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
                fd = implied && S_ISLNK(st.st_mode) ? beneath_open(l->merge->root, path, flags)
                                                    : -ENOTDIR;
                if (fd >= 0) {
                        *ret = fd;
                        return 0;
                }
                if (unlinkat(l->root, name, 0) < 0)
                        return -errno;
        }
        if (mkdirat(l->root, name, 0700) >= 0)
                *ret_made = true;
        else if (errno != EEXIST)
                return -errno;
        fd = openat(l->root, name, flags | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        *ret = fd;
        return 0;
}

static int merge_subfolder(const struct level *l, const char *name) {
        _cleanup_free_ char *path = strformat("%s%s%s", l->path, *l->path ? "/" : "", name);
        _cleanup_close_ int layer = -EBADF, root = -EBADF;
        bool implied, made;
        int r;

        if (!path)
                return -ENOMEM;
        if (l->depth >= DEPTH_MAX)
                return -ENAMETOOLONG;
        layer = openat(l->layer, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (layer < 0)
                return -errno;
        implied = map_get(l->merge->implied, path) != NULL;
        r = open_counterpart(l, name, path, implied, &root, &made);
        if (r < 0)
                return r;
        r = merge_folder(l->merge, layer, root, path, l->depth + 1);
        if (r < 0 || (implied && !made))
                return r;
        r = copy_metadata(layer, root);
        return r < 0 ? r : copy_times(layer, root);
}

static int merge_name(const char *name, void *userdata) {
        const struct level *l = userdata;
        struct stat st;
        int r;

        if (fstatat(l->layer, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        if (S_ISDIR(st.st_mode))
                return merge_subfolder(l, name);
        r = remove_tree_at(l->root, name);
        return r < 0 ? r : link_or_copy(l->layer, l->root, name);
}

static int merge_folder(struct merge *m, int layer, int root, const char *path, unsigned depth) {
        struct level l = {.merge = m, .layer = layer, .root = root, .path = path, .depth = depth};

        return each_name(layer, merge_name, &l);
}

/* --- notes --- */

static int cannot(struct problem *p, int error, const char *path) {
        _cleanup_free_ char *shown = plain_copy(path, strnlen(path, PATH_SHOWN_MAX), PLAIN_LINE),
                            *what = NULL;

        what = shown ? strformat("the image's root cannot be made (\"%s\")", shown) : NULL;
        return what ? image_disk_problem(p, error, what) : -ENOMEM;
}

/* Notes come from the process that read the layer: they must be what beneath_path() gives. */
static int check_note(const char *path, bool may_be_root, struct problem *p) {
        _cleanup_free_ char *clean = NULL;
        int r = beneath_path(path, PATH_MAX_BYTES, DEPTH_MAX, &clean);

        if (r == -ENOMEM)
                return r;
        if (r < 0 || !streq(clean, path) || (!*path && !may_be_root))
                return image_problem(p, EPERM, IMAGE_CAUSE_UNSAFE,
                                "a layer's notes have a path that leads out of the image");
        return 0;
}

static int remove_name(const char *name, void *userdata) {
        const int *folder = userdata;

        return remove_tree_at(*folder, name);
}

/* Hides everything that the lower layers have in the folder. */
static int empty_folder(int root, const char *path) {
        _cleanup_close_ int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);

        if (fd < 0)
                return fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP ? 0 : fd;
        return each_name(fd, remove_name, &fd);
}

static int each_path(int root, const json_t *list, int (*func)(int root, const char *path),
                struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *path = strempty(json_string_value(v));
                int r = check_note(path, func == empty_folder, p);

                if (r < 0)
                        return r;
                r = func(root, path);
                if (r < 0)
                        return cannot(p, -r, path);
        }
        return 0;
}

static int add_link(int root, const char *path, const char *target) {
        const char *name, *target_name;
        _cleanup_close_ int to = beneath_parent(root, path, &name),
                            from = beneath_parent(root, target, &target_name);

        if (to < 0 || from < 0)
                return to < 0 ? to : from;
        if (linkat(from, target_name, to, name, 0) >= 0)
                return 0;
        if (errno != EEXIST)
                return -errno;
        if (unlinkat(to, name, 0) < 0)
                return -errno;
        return linkat(from, target_name, to, name, 0) < 0 ? -errno : 0;
}

/* Hard links to files of lower layers, which are in the root now. */
static int add_links(int root, const json_t *list, struct problem *p) {
        const json_t *pair;
        size_t i;

        json_array_foreach (list, i, pair) {
                const char *path = strempty(json_string_value(json_array_get(pair, 0))),
                           *target = strempty(json_string_value(json_array_get(pair, 1)));
                int r = check_note(path, false, p);

                if (r < 0)
                        return r;
                r = check_note(target, false, p);
                if (r < 0)
                        return r;
                r = add_link(root, path, target);
                if (r == -ENOENT)
                        return image_problem(p, ENOENT, IMAGE_CAUSE_INVALID,
                                        "a layer has a hard link to a file that is in no layer; "
                                        "the image is damaged");
                if (r < 0)
                        return cannot(p, -r, path);
        }
        return 0;
}

static int read_implied(const json_t *notes, struct map **ret) {
        _cleanup_(map_freep) struct map *implied = map_new(NULL);
        const json_t *v;
        size_t i;

        if (!implied)
                return -ENOMEM;
        json_array_foreach (json_at(notes, "implied"), i, v) {
                int r = map_set(implied, strempty(json_string_value(v)), implied);

                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(implied);
        return 0;
}

int tree_add_layer(int root, int layer, const json_t *notes, struct problem *p) {
        _cleanup_(map_freep) struct map *implied = NULL;
        int r = read_implied(notes, &implied);

        if (r < 0)
                return r;
        r = each_path(root, json_at(notes, "whiteouts"), beneath_remove, p);
        if (r < 0)
                return r;
        r = each_path(root, json_at(notes, "opaque"), empty_folder, p);
        if (r < 0)
                return r;
        r = merge_folder(&(struct merge){.root = root, .implied = implied}, layer, root, "", 0);
        if (r < 0)
                return cannot(p, -r, "/");
        r = add_links(root, json_at(notes, "links"), p);
        if (r < 0 || map_get(implied, ""))
                return r;
        r = copy_metadata(layer, root);
        if (r < 0)
                return cannot(p, -r, "/");
        r = copy_times(layer, root);
        return r < 0 ? cannot(p, -r, "/") : 0;
}

/* --- copies --- */

/* Files with more than one name keep them: the first name of an inode that was copied. */
struct copy {
        struct map *names; /* "device:inode" -> path of the copy in the new tree */
        int root;          /* of the new tree */
};
struct copy_level {
        struct copy *copy;
        int from, to;
        const char *path;
        unsigned depth;
};

static int copy_folder(struct copy *c, int from, int to, const char *path, unsigned depth);

static int copy_subfolder(const struct copy_level *l, const char *name, const char *path) {
        _cleanup_close_ int from = openat(l->from, name,
                                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
                            to = -EBADF;
        int r;

        if (from < 0)
                return -errno;
        if (l->depth >= DEPTH_MAX)
                return -ENAMETOOLONG;
        if (mkdirat(l->to, name, 0700) < 0)
                return -errno;
        to = openat(l->to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (to < 0)
                return -errno;
        r = copy_folder(l->copy, from, to, path, l->depth + 1);
        if (r < 0)
                return r;
        r = copy_metadata(from, to);
        return r < 0 ? r : copy_times(from, to);
}

/* In an image's root each file has one more name, the layer's. */
static int copy_once(const struct copy_level *l, const char *name, const char *path,
                const struct stat *st) {
        _cleanup_free_ char *key = NULL, *kept = NULL;
        const char *first;
        int r;

        if (st->st_nlink < 2)
                return copy_any(l->from, l->to, name);
        key = strformat("%llx:%llx", (unsigned long long)st->st_dev,
                        (unsigned long long)st->st_ino);
        if (!key)
                return -ENOMEM;
        first = map_get(l->copy->names, key);
        if (first)
                return linkat(l->copy->root, first, l->to, name, 0) < 0 ? -errno : 0;
        r = copy_any(l->from, l->to, name);
        if (r < 0)
                return r;
        kept = strdup(path);
        r = kept ? map_set(l->copy->names, key, kept) : -ENOMEM;
        if (r < 0)
                return r;
        TAKE_PTR(kept);
        return 0;
}

static int copy_name(const char *name, void *userdata) {
        const struct copy_level *l = userdata;
        _cleanup_free_ char *path = strformat("%s%s%s", l->path, *l->path ? "/" : "", name);
        struct stat st;

        if (!path)
                return -ENOMEM;
        if (fstatat(l->from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return S_ISDIR(st.st_mode) ? copy_subfolder(l, name, path) : copy_once(l, name, path, &st);
}

static int copy_folder(struct copy *c, int from, int to, const char *path, unsigned depth) {
        struct copy_level l = {.copy = c, .from = from, .to = to, .path = path, .depth = depth};

        return each_name(from, copy_name, &l);
}

int tree_copy(int from, int to) {
        _cleanup_(map_freep) struct map *names = map_new(free);
        int r;

        if (!names)
                return -ENOMEM;
        r = copy_folder(&(struct copy){.names = names, .root = to}, from, to, "", 0);
        if (r < 0)
                return r;
        r = copy_metadata(from, to);
        return r < 0 ? r : copy_times(from, to);
}
