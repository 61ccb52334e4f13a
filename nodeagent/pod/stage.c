/* Sub-paths of volumes. A volume belongs to pods, which may change it at any instant, so nothing
 * in it is ever looked up twice by name: openat2(2) with RESOLVE_BENEATH gives a descriptor, and a
 * bind mount made from that descriptor lies in a folder that only root can enter. The mounts go
 * with the pod; what a crash leaves is found again in /proc/self/mountinfo, and a reboot leaves
 * nothing. */
#include "nodeagent/pod/stage.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "nodeagent/agent.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/runtime/images.h"

#define REASON "CreateContainerConfigError"

enum { STACKED_MAX = 64, TRIES_MAX = 16 };

/* An O_PATH descriptor of what a relative path means below dir. -EXDEV when it leads out. */
static int open_beneath_with(int dir, const char *path, uint64_t resolve) {
        struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | resolve};

        /* The kernel asks to try again when a rename elsewhere came between. */
        for (int i = 0; i < TRIES_MAX; i++) {
                long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

                if (fd >= 0)
                        return (int)fd;
                if (errno != EAGAIN)
                        return -errno;
        }
        return -EAGAIN;
}

static int open_beneath(int dir, const char *path) {
        return open_beneath_with(dir, path, 0);
}

/* A folder as open as the volume itself, so that the container's user can write to it. */
static int make_folder(int parent, const char *name, const struct stat *like) {
        _cleanup_close_ int fd = -EBADF;

        if (mkdirat(parent, name, 0700) < 0)
                return errno == EEXIST ? 0 : -errno;
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        /* The server of a share may not let root do so. */
        if (fchown(fd, like->st_uid, like->st_gid) < 0 && errno != EPERM)
                return -errno;
        return fchmod(fd, like->st_mode & 07777) < 0 ? -errno : 0;
}

static int make_beneath(int root, const char *path) {
        struct stat like;

        if (fstat(root, &like) < 0)
                return -errno;
        for (const char *s = path; *s;) {
                const char *end = strchrnul(s, '/');
                _cleanup_free_ char *above = strndup(path, (size_t)(s - path)),
                                    *name = strndup(s, (size_t)(end - s));
                _cleanup_close_ int parent = -EBADF;
                int r = 0;

                if (!above || !name)
                        return -ENOMEM;
                if (*name) {
                        parent = open_beneath(root, *above ? above : ".");
                        r = parent < 0 ? parent : make_folder(parent, name, &like);
                }
                if (r < 0)
                        return r;
                s = *end ? end + 1 : end;
        }
        return 0;
}

static int make_place(const char *path, bool folder) {
        _cleanup_free_ char *dir = strndup(path, (size_t)(strrchr(path, '/') - path));
        struct stat st;
        int r = dir ? mkdir_parents(dir, 0700) : -ENOMEM, fd;

        if (r < 0)
                return r;
        for (int i = 0; i < STACKED_MAX && umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) >= 0; i++)
                ;
        /* The one of the last start may have been of the other kind. */
        if (lstat(path, &st) == 0 && S_ISDIR(st.st_mode) != folder) {
                r = remove_tree(path);
                if (r < 0)
                        return r;
        }
        if (folder)
                return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
        fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        close(fd);
        return 0;
}

static int bind_descriptor(int fd, const char *path) {
        char source[32];

        snprintf(source, sizeof(source), "/proc/self/fd/%d", fd);
        if (mount(source, path, NULL, MS_BIND, NULL) < 0)
                return -errno;
        /* Taking it away later must not reach anything else. */
        return mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

static int real_path(int fd, char **ret) {
        char link[32], text[4096];
        ssize_t n;

        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, text, sizeof(text) - 1);
        if (n < 0)
                return -errno;
        text[n] = 0;
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int check_host_part(const json_t *unit, const json_t *s, int fd, struct problem *p) {
        _cleanup_free_ char *real = NULL;
        int r;

        if (!pod_volume_is_of_machine(s) || json_bool_or(unit, "privileged", false))
                return 0;
        r = real_path(fd, &real);
        if (r < 0)
                return r;
        if (!pod_path_is_hidden(real) && !pod_path_holds_hidden(real))
                return 0;
        return problem_set(p, EINVAL, 0, REASON,
                        "volume %s: subPath %s is %s, which is or holds what pods must not see; "
                        "remove it, or mount the volume as a whole",
                        json_str_or(s, "volume", ""), json_str_or(s, "sub", ""), real);
}

int stage_open(int root, const char *sub, bool make) {
        _cleanup_close_ int fd = open_beneath(root, sub);
        struct stat st;

        if (fd == -ENOENT && make) {
                int r = make_beneath(root, sub);

                if (r < 0)
                        return r;
                fd = open_beneath(root, sub);
        }
        if (fd < 0)
                return fd;
        if (fstat(fd, &st) < 0)
                return -errno;
        /* Without this a link that could not be followed (O_PATH on its own) would be mounted. */
        return S_ISLNK(st.st_mode) ? -ELOOP : TAKE_FD(fd);
}

static int open_folder(int dir, const char *name, bool make) {
        _cleanup_close_ int made = -EBADF;
        int fd = open_beneath_with(dir, name, RESOLVE_NO_SYMLINKS);

        if (fd != -ENOENT || !make)
                return fd;
        if (mkdirat(dir, name, 0777) < 0)
                return errno == EEXIST ? open_beneath_with(dir, name, RESOLVE_NO_SYMLINKS) : -errno;
        made = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (made < 0 || fchmod(made, 0777) < 0)
                return -errno;
        return open_beneath_with(dir, name, RESOLVE_NO_SYMLINKS);
}

int stage_open_folder(int root, const char *folder, bool make) {
        _cleanup_close_ int dir = fcntl(root, F_DUPFD_CLOEXEC, 3);

        if (dir < 0)
                return -errno;
        while (*folder) {
                size_t n = strcspn(folder, "/");
                _cleanup_free_ char *name = strndup(folder, n);
                int fd = name ? open_folder(dir, name, make) : -ENOMEM;

                if (fd < 0)
                        return fd;
                (void)close(dir);
                dir = fd;
                folder += folder[n] ? n + 1 : n;
        }
        return TAKE_FD(dir);
}

int stage_bind(int fd, const char *path) {
        struct stat st;
        int r;

        if (fstat(fd, &st) < 0)
                return -errno;
        r = make_place(path, S_ISDIR(st.st_mode));
        return r < 0 ? r : bind_descriptor(fd, path);
}

static int stage_one(const json_t *unit, const json_t *s, struct problem *p) {
        _cleanup_close_ int root = open(json_str_or(s, "root", ""), O_PATH | O_CLOEXEC),
                            fd = -EBADF;
        int r;

        if (root < 0)
                return -errno;
        fd = stage_open(root, json_str_or(s, "sub", ""), json_bool_or(s, "make", false));
        if (fd < 0)
                return fd;
        r = check_host_part(unit, s, fd, p);
        return r < 0 ? r : stage_bind(fd, json_str_or(s, "path", ""));
}

/* A mount point below another volume of the container: no link on the way, and nothing left for
 * systemd to make, unless what is mounted is not there yet: then only its last part. */
static int stage_nested(const json_t *s) {
        const char *below = json_str_or(s, "below", ""), *source = json_str_or(s, "source", "");
        _cleanup_close_ int dir = open(json_str_or(s, "root", ""), O_PATH | O_CLOEXEC);
        struct stat like, st = {.st_mode = S_IFDIR};
        bool known = !*source || stat(source, &st) >= 0;

        if (dir < 0 || fstat(dir, &like) < 0)
                return -errno;
        while (*below) {
                size_t n = strcspn(below, "/");
                bool last = !below[n];
                _cleanup_free_ char *name = strndup(below, n);
                int r = 0, fd;

                if (!name)
                        return -ENOMEM;
                below += last ? n : n + 1;
                fd = open_beneath_with(dir, name, RESOLVE_NO_SYMLINKS);
                if (fd == -ENOENT) {
                        if (last && !known)
                                return 0;
                        if (!last || S_ISDIR(st.st_mode))
                                r = make_folder(dir, name, &like);
                        else {
                                _cleanup_close_ int file = openat(dir, name,
                                                O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
                                r = file < 0 ? -errno : 0;
                        }
                        if (r < 0)
                                return r;
                        fd = open_beneath_with(dir, name, RESOLVE_NO_SYMLINKS);
                }
                if (fd < 0)
                        return fd;
                safe_close(dir);
                dir = fd;
        }
        return 0;
}

static int stage_all_nested(const json_t *unit, struct problem *p) {
        const json_t *s;
        size_t i;

        json_array_foreach (json_at(unit, "stage"), i, s) {
                int r = json_str(s, "below") ? stage_nested(s) : 0;

                if (r < 0)
                        return problem_set(p, -r, 0, REASON,
                                        "container %s: cannot mount at %s, which is in volume %s: "
                                        "%s; remove %s from the volume, or mount elsewhere",
                                        json_str_or(unit, "container", ""),
                                        json_str_or(s, "target", ""), json_str_or(s, "volume", ""),
                                        r == -ELOOP ? "a link is in the way" : strerror(-r),
                                        json_str_or(s, "below", ""));
        }
        return 0;
}

/* The properties with what is mounted: of the unit that holds it, where there is one
 * (plan/pids.h). */
static const json_t *mounting(const json_t *unit) {
        const json_t *hold = json_at(unit, "hold.properties");

        return hold ? hold : json_at(unit, "properties");
}

static int check_image(const json_t *unit, struct problem *p) {
        const char *path = json_str(mounting(unit), "RootDirectory"), *why;
        _cleanup_free_ char *real = NULL;

        /* Of an OCI image: the agent's own folder. */
        if (json_at(unit, "root"))
                return 0;
        if (!path)
                path = json_str(mounting(unit), "RootImage");
        if (!path || json_bool_or(unit, "privileged", false))
                return 0;
        real = realpath(path, NULL);
        if (!real)
                return problem_set(p, errno, 0, "ErrImagePull", "image \"%s\": %s", path,
                                strerror(errno));
        why = image_path_problem(real);
        if (!why)
                return 0;
        return problem_set(p, EINVAL, 0, "InvalidImageName",
                        "image \"%s\" is really %s, which cannot be a container's root: %s", path,
                        real, why);
}

/* A link may make a host folder another one than the pod's unit was protected for. */
static int check_host_folders(const json_t *unit, const json_t *volumes, struct problem *p) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths"};
        const json_t *v, *b;
        size_t i, j;

        if (json_bool_or(unit, "privileged", false))
                return 0;
        json_array_foreach (volumes, i, v) {
                const char *path = json_str_or(v, "path", "");
                _cleanup_free_ char *real = NULL;
                bool used = false;

                if (!pod_volume_is_of_machine(v))
                        continue;
                for (size_t k = 0; k < ELEMENTS(keys); k++)
                        json_array_foreach (json_at(mounting(unit), keys[k]), j, b)
                                used |= streq(strempty(json_string_value(json_array_get(b, 0))),
                                                path);
                real = used ? realpath(path, NULL) : NULL;
                if (!real || (!pod_path_is_hidden(real) &&
                                             (streq(real, path) || !pod_path_holds_hidden(real))))
                        continue;
                return problem_set(p, EINVAL, 0, REASON,
                                "volume %s: the path %s is %s, which is or holds what pods must "
                                "not see",
                                json_str_or(v, "name", ""), path, real);
        }
        return 0;
}

static const char *element(const json_t *bind, size_t i) {
        return strempty(json_string_value(json_array_get(bind, i)));
}

/* What is hidden is a file in the layer over the machine's: nothing is below it, and no folder can
 * be mounted there. */
static bool lacks_hidden_point(const char *target, bool folder) {
        const char *hidden;

        for (size_t i = 0; (hidden = pod_hidden_path(i)); i++) {
                const char *rest = startswith(target, hidden);

                if (rest && (*rest == '/' || (folder && !*rest)))
                        return true;
        }
        return false;
}

/* Makes target's mount point in the upper folder of an overlay over a folder of the system, unless
 * the machine has one that is seen. 1 when it was made. */
static int make_point(
                const char *upper, const char *target, size_t skip, bool folder, bool masked) {
        size_t end = skip;
        bool made = false, own = masked && lacks_hidden_point(target, folder);

        while (target[end]) {
                _cleanup_free_ char *lower = NULL, *path = NULL;
                struct stat st;
                bool last, there;

                end += 1 + strcspn(target + end + 1, "/");
                last = !target[end];
                lower = strndup(target, end);
                path = lower ? strformat("%s%s", upper, lower + skip) : NULL;
                if (!path)
                        return -ENOMEM;
                there = lstat(lower, &st) >= 0;
                /* systemd would create the missing target of a link outside of the copy. */
                if (there && S_ISLNK(st.st_mode) && access(target, F_OK) < 0)
                        return -ELOOP;
                /* Through a link or at something else: systemd handles both. */
                if (there && (last ? !own : !S_ISDIR(st.st_mode)))
                        break;
                if (last && !folder) {
                        int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
                        if (fd < 0)
                                return -errno;
                        close(fd);
                } else if (mkdir(path, 0755) < 0 && errno != EEXIST)
                        return -errno;
                if (there && (chown(path, st.st_uid, st.st_gid) < 0 ||
                                             chmod(path, st.st_mode & 07777) < 0))
                        return -errno;
                made |= !there;
        }
        return made;
}

/* Removes what the last start left; upper is there and empty after it. */
static int begin_points(const char *place, const char *upper, const char *work) {
        const char *const old[] = {place, upper, work};

        stage_unmount_below(place);
        for (size_t i = 0; i < ELEMENTS(old); i++) {
                int r = remove_tree(old[i]);
                if (r < 0)
                        return r;
        }
        return mkdir_parents(upper, 0755);
}

/* One copy of a system folder with the mount points that this unit needs in it. mask: a layer over
 * the folder, with which it is always made; or "". */
static int stage_points(
                const json_t *unit, const char *place, const char *system, const char *mask) {
        static const char *const keys[] = {"BindPaths", "BindReadOnlyPaths"};
        _cleanup_free_ char *upper = strformat("%s.upper", place),
                            *work = strformat("%s.work", place), *options = NULL;
        const json_t *b;
        bool needed = *mask;
        size_t i;
        int r;

        if (!upper || !work)
                return -ENOMEM;
        r = begin_points(place, upper, work);
        if (r < 0)
                return r;
        for (size_t k = 0; k < ELEMENTS(keys); k++)
                json_array_foreach (json_at(mounting(unit), keys[k]), i, b) {
                        const char *target = element(b, 1), *rest = startswith(target, system);
                        struct stat st;

                        if (!rest || *rest != '/' || stat(element(b, 0), &st) < 0)
                                continue;
                        r = make_point(upper, target, strlen(system), S_ISDIR(st.st_mode), *mask);
                        if (r < 0)
                                return r;
                        needed |= r > 0;
                }
        if (!needed)
                return 0;
        options = strformat("lowerdir=%s%s%s,upperdir=%s,workdir=%s", mask, system,
                        *mask ? ":" AGENT_ETC_BASE : "", upper, work);
        if (!options)
                return -ENOMEM;
        if (mkdir(work, 0700) < 0 || mkdir(place, 0755) < 0)
                return -errno;
        if (mount("keelson-points", place, "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, options) <
                        0)
                return -errno;
        return 0;
}

static int stage_all_points(const json_t *unit, struct problem *p) {
        const json_t *b;
        size_t i;

        json_array_foreach (json_at(mounting(unit), "BindReadOnlyPaths"), i, b) {
                const char *place = element(b, 0), *system = element(b, 1);
                bool masked;
                int r;

                masked = streq(element(b, 2), POD_BIND_MASKED);
                if (!masked && (json_array_size(b) < 3 || !strstr(place, "/points/") ||
                                               !endswith(place, system)))
                        continue;
                r = stage_points(unit, place, system, masked ? AGENT_ETC_MASK ":" : "");
                if (r < 0)
                        return problem_set(p, -r, 0, REASON,
                                        "cannot make the mount points of container %s in %s: %s; "
                                        "mount the volume elsewhere, or make the folder on the "
                                        "machine",
                                        json_str_or(unit, "container", ""), system,
                                        r == -ELOOP ? "a link of the machine is in the way"
                                                    : strerror(-r));
        }
        return 0;
}

int stage_container(const json_t *unit, const json_t *volumes, struct problem *p) {
        const json_t *s;
        size_t i;
        int r = check_image(unit, p);

        if (r < 0)
                return r;
        r = check_host_folders(unit, volumes, p);
        if (r < 0)
                return r;
        json_array_foreach (json_at(unit, "stage"), i, s) {
                const char *why;

                /* Those of shares were made before (share-folder.c). */
                if (json_str(s, "below") || streq(json_str_or(s, "type", ""), "share"))
                        continue;
                r = stage_one(unit, s, p);
                if (r >= 0)
                        continue;
                why = r == -EXDEV || r == -ELOOP ? "a link in it leads out of the volume"
                                                 : strerror(-r);
                if (!p->message)
                        problem_set(p, -r, 0, REASON,
                                        "volume %s: cannot use subPath %s for container %s: %s",
                                        json_str_or(s, "volume", ""),
                                        startswith(json_str_or(s, "sub", ""), "..data/")
                                                        ? json_str_or(s, "sub", "") + 7
                                                        : json_str_or(s, "sub", ""),
                                        json_str_or(unit, "container", ""), why);
                return r;
        }
        r = stage_all_nested(unit, p);
        return r < 0 ? r : stage_all_points(unit, p);
}

/* Whether a copy of /etc is there, and without the hidden files. */
static bool is_masked(const char *place) {
        _cleanup_free_ char *hidden = strformat("%s/shadow", place);
        struct statfs fs;
        struct stat st;

        return hidden && statfs(place, &fs) >= 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC &&
               lstat(hidden, &st) >= 0 && S_ISREG(st.st_mode) && st.st_size == 0 &&
               (st.st_mode & 07777) == 0;
}

int stage_command(json_t *unit) {
        json_t *b;
        size_t i;

        json_array_foreach (json_get(unit, "properties", "BindReadOnlyPaths", NULL), i, b) {
                _cleanup_free_ char *own = NULL;
                int r;

                if (!streq(element(b, 2), POD_BIND_MASKED) || is_masked(element(b, 0)))
                        continue;
                own = strformat("%s.command", element(b, 0));
                if (!own)
                        return -ENOMEM;
                r = is_masked(own) ? 0 : stage_points(unit, own, element(b, 1), AGENT_ETC_MASK ":");
                if (r < 0)
                        return r;
                if (json_array_set_new(b, 0, json_string(own)) < 0)
                        return -ENOMEM;
        }
        return 0;
}

void stage_unmount_below(const char *dir) {
        _cleanup_strv_free_ char **points = NULL;
        _cleanup_free_ char *line = NULL;
        FILE *f = fopen("/proc/self/mountinfo", "re");
        size_t size = 0, n = strlen(dir), count;

        if (!f) {
                log_warning_errno(-errno, "Cannot read /proc/self/mountinfo");
                return;
        }
        while (getline(&line, &size, f) > 0) {
                char *save = NULL, *word = strtok_r(line, " ", &save);

                /* The fifth word is the mount point; ours have nothing that is written in octal. */
                for (int i = 0; i < 4 && word; i++)
                        word = strtok_r(NULL, " ", &save);
                if (word && strncmp(word, dir, n) == 0 && (word[n] == '/' || !word[n]) &&
                                strv_extend(&points, word) < 0)
                        break;
        }
        (void)fclose(f);
        count = points ? strv_length(points) : 0;
        while (count-- > 0)
                if (umount2(points[count], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL)
                        log_warning_errno(-errno, "Cannot unmount %s", points[count]);
}
