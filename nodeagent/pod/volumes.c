/* Volumes of files are replaced as a whole by switching the link `..data`, so that a reader sees
 * the old or the new files, never a mix; `key` is a link to `..data/key`. */
#include "nodeagent/pod/volumes.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/log.h"
#include "lib/pki.h"
#include "nodeagent/plan/plan.h"
#include "nodeagent/pod/folder-size.h"
#include "nodeagent/pod/stage.h"

#define REASON "ContainerCreating"

int volumes_mount_secrets(const char *dir) {
        struct statfs fs;
        int r = mkdir_parents(dir, 0700);

        if (r < 0)
                return r;
        if (statfs(dir, &fs) == 0 && fs.f_type == RAMFS_MAGIC)
                return 0;
        if (mount("keelson-secrets", dir, "ramfs", MS_NODEV | MS_NOSUID | MS_NOEXEC, "mode=0700") <
                        0)
                return -errno;
        return 0;
}

static int set_group(const char *path, const json_t *volume, mode_t mode) {
        const json_t *group = json_object_get(volume, "group");

        if (!group)
                return 0;
        if (lchown(path, (uid_t)-1, (gid_t)json_integer_value(group)) < 0)
                return -errno;
        return chmod(path, mode) < 0 ? -errno : 0;
}

static int write_file(int dir, const json_t *file, const json_t *group) {
        const char *path = json_str_or(file, "path", "");
        mode_t mode = (mode_t)json_int_or(file, "mode", 0644) & 07777;
        _cleanup_free_ void *data = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t n;
        int r = base64_decode(json_str_or(file, "data", ""), &data, &n);

        if (r < 0)
                return r;
        /* Folders on the way. */
        for (const char *s = strchr(path, '/'); s; s = strchr(s + 1, '/')) {
                _cleanup_free_ char *part = strndup(path, (size_t)(s - path));
                if (!part)
                        return -ENOMEM;
                if (mkdirat(dir, part, 0755) < 0 && errno != EEXIST)
                        return -errno;
        }
        fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < n;) {
                ssize_t w = write(fd, (char *)data + done, n - done);
                if (w < 0)
                        return -errno;
                done += (size_t)w;
        }
        if (group && (fchown(fd, (uid_t)-1, (gid_t)json_integer_value(group)) < 0))
                return -errno;
        return fchmod(fd, group ? mode | ((mode & 0400) >> 3) : mode) < 0 ? -errno : 0;
}

/* One link per first path component, to ..data/<component>. */
static int link_files(const char *path, const json_t *files) {
        const json_t *file;
        size_t i;

        json_array_foreach (files, i, file) {
                const char *name = json_str_or(file, "path", "");
                int length = (int)strcspn(name, "/");
                _cleanup_free_ char *link = strformat("%s/%.*s", path, length, name);
                _cleanup_free_ char *target = strformat("..data/%.*s", length, name);

                if (!link || !target)
                        return -ENOMEM;
                if (symlink(target, link) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

/* Removes the links and the generations that are no longer used. */
static void sweep(const char *path, const char *current) {
        DIR *d = opendir(path);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                _cleanup_free_ char *full = strformat("%s/%s", path, e->d_name);
                struct stat st;

                if (!full || streq(e->d_name, ".") || streq(e->d_name, "..") ||
                                streq(e->d_name, "..data") || streq(e->d_name, current))
                        continue;
                if (startswith(e->d_name, ".."))
                        (void)remove_tree(full);
                else if (lstat(full, &st) == 0 && S_ISLNK(st.st_mode) && access(full, F_OK) < 0)
                        (void)unlink(full);
        }
        if (d)
                closedir(d);
}

static uint64_t fingerprint(const json_t *volume) {
        char *text = json_dumps(volume, JSON_COMPACT | JSON_SORT_KEYS);
        uint64_t hash = UINT64_C(14695981039346656037);

        for (const char *s = strempty(text); *s; s++)
                hash = (hash ^ (unsigned char)*s) * UINT64_C(1099511628211);
        free(text);
        return hash;
}

/* Whether the file has the wanted content. */
static bool is_whole(const char *path, const json_t *file) {
        _cleanup_free_ char *full = strformat("%s/..data/%s", path, json_str_or(file, "path", "")),
                            *text = NULL;
        _cleanup_free_ void *data = NULL;
        size_t n, size;

        return full && base64_decode(json_str_or(file, "data", ""), &data, &n) >= 0 &&
               file_read(full, MAX(n, (size_t)1), &text, &size) >= 0 && size == n &&
               (n == 0 || memcmp(text, data, n) == 0);
}

int volumes_check(const json_t *volumes, char **ret) {
        const json_t *volume, *file;
        size_t i, k;

        json_array_foreach (volumes, i, volume) {
                const char *path = json_str_or(volume, "path", "");

                if (!streq(json_str_or(volume, "type", ""), "files"))
                        continue;
                json_array_foreach (json_at(volume, "files"), k, file) {
                        if (is_whole(path, file))
                                continue;
                        *ret = strformat("%s of volume %s", json_str_or(file, "path", ""),
                                        json_str_or(volume, "name", ""));
                        return *ret ? 1 : -ENOMEM;
                }
        }
        return 0;
}

static int make_files(const json_t *volume, const char *path) {
        const json_t *files = json_at(volume, "files"), *file;
        char generation[24];
        _cleanup_free_ char *dir = NULL, *data = strformat("%s/..data", path),
                            *fresh = strformat("%s/..data_new", path);
        char old[64] = "";
        _cleanup_close_ int fd = -EBADF;
        size_t i;
        int r;

        if (!data || !fresh)
                return -ENOMEM;
        snprintf(generation, sizeof(generation), "..%016llx",
                        (unsigned long long)fingerprint(volume));
        if (readlink(data, old, sizeof(old) - 1) > 0 && streq(old, generation))
                return 0;
        dir = strformat("%s/%s", path, generation);
        if (!dir)
                return -ENOMEM;
        if (mkdir(dir, 0755) < 0 && errno != EEXIST)
                return -errno;
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        json_array_foreach (files, i, file) {
                r = write_file(fd, file, json_object_get(volume, "group"));
                if (r < 0)
                        return r;
        }
        (void)unlink(fresh);
        if (symlink(generation, fresh) < 0 || rename(fresh, data) < 0)
                return -errno;
        r = link_files(path, files);
        sweep(path, generation);
        return r;
}

/* Makes the path if the type of the volume allows it, and checks its type. */
static int look_at_host(const char *path, const char *check, struct stat *ret) {
        if (streq(check, "DirectoryOrCreate")) {
                int r = mkdir_parents(path, 0755);
                if (r < 0)
                        return r;
        } else if (streq(check, "FileOrCreate")) {
                int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0644);
                if (fd < 0)
                        return -errno;
                close(fd);
        }
        return stat(path, ret) < 0 ? -errno : 0;
}

static int make_host(const json_t *volume, const char *path, struct problem *p) {
        const char *check = json_str_or(volume, "check", "");
        struct stat st;
        int r = look_at_host(path, check, &st);

        if (r < 0)
                return problem_set(p, -r, 0, REASON, "volume %s: hostPath %s: %s",
                                json_str_or(volume, "name", ""), path, strerror(-r));
        if ((streq(check, "Directory") && !S_ISDIR(st.st_mode)) ||
                        (streq(check, "File") && !S_ISREG(st.st_mode)) ||
                        (streq(check, "Socket") && !S_ISSOCK(st.st_mode)))
                return problem_set(p, EINVAL, 0, REASON, "volume %s: hostPath %s is not a %s",
                                json_str_or(volume, "name", ""), path, check);
        return 0;
}

static int make_memory(const json_t *volume, const char *path) {
        _cleanup_free_ char *options = NULL;
        int64_t size = json_int_or(volume, "size", 0);
        struct statfs fs, parent;
        _cleanup_free_ char *up = strformat("%s/..", path);
        struct stat a, b;

        options = size > 0 ? strformat("mode=0777,size=%lld", (long long)size)
                           : strdup("mode=0777");
        if (!options || !up)
                return -ENOMEM;
        /* Another device than the folder above: it is mounted already. */
        if (stat(path, &a) == 0 && stat(up, &b) == 0 && a.st_dev != b.st_dev &&
                        statfs(path, &fs) == 0 && statfs(up, &parent) == 0 &&
                        fs.f_type == TMPFS_MAGIC)
                return 0;
        return mount("tmpfs", path, "tmpfs", MS_NODEV | MS_NOSUID, options) < 0 ? -errno : 0;
}

/* A new folder of a local volume, as open as an emptyDir; it lies in a folder that only root can
 * enter. It gets its name last: a crash leaves none that the pod cannot write to. */
static int make_local(const char *path) {
        const char *slash = strrchr(path, '/');
        _cleanup_free_ char *dir = strndup(path, (size_t)(slash - path)),
                            *fresh = dir ? strformat("%s/.new-%.200s", dir, slash + 1) : NULL;
        struct stat st;
        int r;

        if (!fresh)
                return -ENOMEM;
        if (lstat(path, &st) >= 0)
                return 0;
        if (errno != ENOENT)
                return -errno;
        r = mkdir_parents(dir, 0700);
        if (r < 0)
                return r;
        r = folder_make(fresh, 0700);
        if (r < 0 && r != -EEXIST)
                return r;
        if (chmod(fresh, 0777) < 0 || rename(fresh, path) < 0)
                return -errno;
        return 0;
}

/* A pod does without the limit rather than without its volume. */
static void limit_size(int fd, const json_t *volume, const char *path) {
        int64_t size = json_int_or(volume, "size", 0);
        int r = size > 0 ? folder_set_limit(fd, strrchr(path, '/') + 1, (uint64_t)size) : 0;

        if (r < 0)
                log_warning_errno(r, "Cannot limit the size of %s", path);
}

/* The folder of a claimed volume. What is there keeps its owner and mode, but for the pod's group,
 * which is left as it is where the pod only reads. */
static int make_claim(const json_t *volume, const char *path) {
        const json_t *group = json_bool_or(volume, "readOnly", false)
                                              ? NULL
                                              : json_object_get(volume, "group");
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        int r = json_bool_or(volume, "make", false) ? make_local(path) : 0;

        if (r < 0)
                return r;
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0)
                return -errno;
        if (json_bool_or(volume, "make", false))
                limit_size(fd, volume, path);
        if (!group || (st.st_gid == (gid_t)json_integer_value(group) &&
                                      (st.st_mode & 02070) == 02070))
                return 0;
        /* New files in it get the group, too. */
        if (fchown(fd, (uid_t)-1, (gid_t)json_integer_value(group)) < 0)
                return -errno;
        return fchmod(fd, (st.st_mode & 07777) | 02070) < 0 ? -errno : 0;
}

/* A folder of the pod's own. */
static int make_own(const json_t *volume, const char *path) {
        const char *type = json_str_or(volume, "type", "");
        int r = mkdir_parents(path, 0755);

        if (r < 0)
                return r;
        if (streq(type, "files")) {
                r = make_files(volume, path);
                return r < 0 ? r : set_group(path, volume, 0755);
        }
        if (streq(type, "memory")) {
                r = make_memory(volume, path);
                if (r < 0)
                        return r;
        }
        if (chmod(path, 0777) < 0)
                return -errno;
        return set_group(path, volume, 02777);
}

static int make_volume(const json_t *volume, struct problem *p) {
        const char *path = json_str_or(volume, "path", ""), *type = json_str_or(volume, "type", "");
        int r;

        if (streq(type, "share"))
                return 0; /* shares_prepare() has made it */
        if (streq(type, "host"))
                return make_host(volume, path, p);
        r = streq(type, "claim") || streq(type, "local") ? make_claim(volume, path)
                                                         : make_own(volume, path);
        if (r < 0)
                return problem_set(p, -r, 0, REASON, "volume %s: %s: %s",
                                json_str_or(volume, "name", ""), path, strerror(-r));
        return 0;
}

int volumes_make(const json_t *volumes, struct problem *p) {
        const json_t *v;
        size_t i;

        json_array_foreach (volumes, i, v) {
                int r = make_volume(v, p);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* A file that the pod's own user writes: its folder is root's alone, so nothing can take its place;
 * it is seen inside the container by a mount of the file itself. */
static int make_writable(const char *path) {
        _cleanup_free_ char *dir = NULL;
        const char *slash = path ? strrchr(path, '/') : NULL;
        int fd, r;

        if (!slash)
                return 0;
        dir = strndup(path, (size_t)(slash - path));
        if (!dir)
                return -ENOMEM;
        r = mkdir_parents(dir, 0700);
        if (r < 0)
                return r;
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0)
                return -errno;
        r = fchmod(fd, 0666) < 0 ? -errno : 0;
        close(fd);
        return r;
}

/* The folder of pod_own_devices(), or NULL: what is not a mount in it. */
static int make_devices(const char *dir) {
        static const char *const folders[] = {"pts", "shm", "mqueue", "hugepages"};
        static const struct {
                const char *name, *target;
        } links[] = {{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"},
                        {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
                        {"core", "/proc/kcore"}, {"ptmx", "pts/ptmx"}};

        if (!dir)
                return 0;
        for (size_t i = 0; i < ELEMENTS(folders); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, folders[i]);
                int r = path ? mkdir_parents(path, 0755) : -ENOMEM;

                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < ELEMENTS(links); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, links[i].name);

                if (!path)
                        return -ENOMEM;
                if (symlink(links[i].target, path) < 0 && errno != EEXIST)
                        return -errno;
        }
        return 0;
}

/* The container's own empty folders; what is in them are mount points of earlier starts. */
static int make_folders(const json_t *list) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v) {
                const char *path = strempty(json_string_value(v));
                int r = mkdir_parents(path, 0755);

                if (r < 0)
                        return r;
                if (chmod(path, 0755) < 0)
                        return -errno;
        }
        return 0;
}

int volumes_write_commands(const json_t *unit) {
        const json_t *start = json_at(unit, "start");
        const char *dir = json_str(start, "dir"), *file;
        json_t *words;
        int r;

        if (!dir)
                return -EINVAL;
        r = mkdir_parents(dir, 0755);
        if (r < 0)
                return r;
        if (chmod(dir, 0755) < 0)
                return -errno;
        r = make_writable(json_str(start, "report"));
        if (r < 0)
                return r;
        r = make_writable(json_str(start, "message"));
        if (r < 0)
                return r;
        r = make_devices(json_str(start, "devices"));
        if (r < 0)
                return r;
        r = make_folders(json_object_get(start, "folders"));
        if (r < 0)
                return r;
        json_object_foreach (json_object_get(start, "commands"), file, words) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, file), *text = NULL;
                size_t n = 0;

                text = pod_command_file(start, file, &n);
                r = path && text ? file_write_atomic(path, text, n, 0444) : -ENOMEM;
                if (r < 0)
                        return r;
        }
        return 0;
}

void volumes_remove_commands(const json_t *unit) {
        const json_t *start = json_at(unit, "start");
        const char *dir = json_str(start, "dir"), *file;
        json_t *words;

        if (!dir)
                return;
        json_object_foreach (json_object_get(start, "commands"), file, words) {
                _cleanup_free_ char *path = strformat("%s/%s", dir, file);

                if (path)
                        (void)unlink(path);
        }
}

int volumes_remove(struct trash *trash, const char *disk_dir, const char *run_dir,
                const char *secret_dir) {
        static const char *const large[] = {"volumes", "roots"};
        int r, result = 0;

        stage_unmount_below(run_dir);
        r = remove_tree(run_dir);
        if (r < 0)
                result = r;
        r = remove_tree(secret_dir);
        if (r < 0)
                result = r;
        for (size_t i = 0; i < ELEMENTS(large); i++) {
                _cleanup_free_ char *path = strformat("%s/%s", disk_dir, large[i]);

                r = path ? trash_put(trash, path) : -ENOMEM;
                if (r < 0)
                        result = r;
        }
        return result;
}

void volumes_sweep(const char *dir, bool (*is_known)(const char *uid, void *userdata),
                void *userdata) {
        DIR *d = opendir(dir);

        for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
                _cleanup_free_ char *full = strformat("%s/%s", dir, e->d_name);

                if (!full || e->d_name[0] == '.' || is_known(e->d_name, userdata))
                        continue;
                stage_unmount_below(full);
                (void)remove_tree(full);
        }
        if (d)
                closedir(d);
}

int volumes_restore(const json_t *volumes, struct problem *p) {
        const json_t *volume;
        size_t i;

        /* Without the link to its generation the volume is made again. */
        json_array_foreach (volumes, i, volume) {
                _cleanup_free_ char *data = strformat("%s/..data", json_str_or(volume, "path", ""));

                if (!data)
                        return -ENOMEM;
                if (streq(json_str_or(volume, "type", ""), "files"))
                        (void)unlink(data);
        }
        return volumes_make(volumes, p);
}
