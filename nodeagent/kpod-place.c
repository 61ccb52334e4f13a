/* Everything is opened by the folder of a process in the machine's /proc, which stays that of the
 * same process, before the first namespace is entered. */
#include "nodeagent/kpod-place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
        SETTLE_TRIES = 5000, /* of a millisecond */
        TEXT_MAX = 4096,
        UNIT_PATH_MAX = 4096,
        START_FIELD = 22, /* of /proc/PID/stat, proc(5) */
};

static int with(const char **what, const char *text) {
        *what = text;
        return -errno;
}

static int read_text(int folder, const char *name, char *text, size_t size) {
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = read(fd, text, size - 1);
        if (n < 0)
                n = -errno;
        close(fd);
        if (n < 0)
                return (int)n;
        text[n] = 0;
        return 0;
}

/* ---- files of namespaces ---- */

/* -1 when it is our own one already. */
static int open_other(int folder, const char *name, int *ret) {
        struct stat theirs, ours;
        char own[64];
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);

        snprintf(own, sizeof(own), "/proc/self/%s", name);
        if (fd < 0 || fstat(fd, &theirs) < 0 || stat(own, &ours) < 0)
                return -errno;
        if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev) {
                close(fd);
                fd = -1;
        }
        *ret = fd;
        return 0;
}

static int open_all(struct container_place *p, const char **what) {
        const struct {
                const char *name;
                int *fd;
        } rows[] = {{"ns/mnt", &p->mounts}, {"ns/ipc", &p->ipc}, {"ns/net", &p->net},
                        {"ns/uts", &p->names}, {"ns/user", &p->users}};

        *what = "the container's namespaces";
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                int r = open_other(p->folder, rows[i].name, rows[i].fd);

                if (r < 0)
                        return r;
        }
        p->root = openat(p->folder, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
        return p->root < 0 ? with(what, "the container's root") : 0;
}

void place_close(struct container_place *p) {
        const int fds[] = {p->folder, p->mounts, p->ipc, p->net, p->names, p->users, p->pids,
                        p->root};

        for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
                if (fds[i] >= 0)
                        close(fds[i]);
        *p = (struct container_place)PLACE_NONE;
}

/* ---- the process that holds a container's mounts ---- */

/* The first number in the unit's cgroup.procs; 0: none. */
static int first_in(const char *base, const char *path, size_t length, const char *unit) {
        char full[UNIT_PATH_MAX], text[TEXT_MAX];
        int n = snprintf(full, sizeof(full), "%s%.*s/%s/cgroup.procs", base, (int)length, path,
                        unit);

        if (n < 0 || (size_t)n >= sizeof(full) || read_text(AT_FDCWD, full, text, sizeof(text)) < 0)
                return 0;
        return (int)strtol(text, NULL, 10);
}

/* systemd's groups: its own hierarchy, or the only one, or the one beside those of version 1. */
static int find_beside(const char *unit) {
        static const struct {
                const char *line, *base;
        } rows[] = {{":name=systemd:", "/sys/fs/cgroup/systemd"},
                        {"0::", "/sys/fs/cgroup/unified"}, {"0::", "/sys/fs/cgroup"}};
        char text[TEXT_MAX];

        if (read_text(AT_FDCWD, "/proc/self/cgroup", text, sizeof(text)) < 0)
                return 0;
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
                const char *s = strstr(text, rows[i].line), *slash = NULL;
                int pid;

                if (!s)
                        continue;
                s += strlen(rows[i].line);
                for (const char *c = s; *c && *c != '\n'; c++)
                        slash = *c == '/' ? c : slash;
                pid = slash ? first_in(rows[i].base, s, (size_t)(slash - s), unit) : 0;
                if (pid > 0)
                        return pid;
        }
        return 0;
}

static bool is_in(int folder, const char *unit) {
        char text[TEXT_MAX], end[UNIT_PATH_MAX];

        snprintf(end, sizeof(end), "/%s\n", unit);
        return read_text(folder, "cgroup", text, sizeof(text)) >= 0 && strstr(text, end);
}

/* A process of the unit: its folder in /proc. */
static int open_in_unit(const char *unit) {
        int pid = find_beside(unit), fd;
        char path[64];

        if (pid <= 0)
                return -ESRCH;
        snprintf(path, sizeof(path), "/proc/%d", pid);
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fd < 0 ? -ESRCH : fd;
}

/* systemd drops all of the holder's capabilities when its mounts are complete. */
static bool is_holder(int folder, const char *unit) {
        char text[TEXT_MAX];

        return is_in(folder, unit) && read_text(folder, "status", text, sizeof(text)) >= 0 &&
               strstr(text, "\nCapBnd:\t0000000000000000\n");
}

int place_of_unit(const char *hold, struct container_place *ret, const char **ret_what) {
        struct container_place p = PLACE_NONE;
        int r;

        *ret_what = hold;
        p.folder = open_in_unit(hold);
        if (p.folder < 0)
                return p.folder;
        r = is_holder(p.folder, hold) ? open_all(&p, ret_what) : -EACCES;
        /* It is still the same process, whose files these were. */
        if (r >= 0 && (p.mounts < 0 || !is_holder(p.folder, hold)))
                r = -EACCES;
        if (r < 0) {
                place_close(&p);
                return r;
        }
        *ret = p;
        return 0;
}

/* A folder in /proc serves as the file of its process. */
void place_release(const struct container_place *p) {
        (void)syscall(SYS_pidfd_send_signal, p->folder, SIGTERM, NULL, 0);
}

/* ---- a container that runs ---- */

/* A number of a process is used again after it; with the time of its start it is the same one. */
static bool has_started_at(int folder, const char *start) {
        char text[TEXT_MAX], *s;

        if (read_text(folder, "stat", text, sizeof(text)) < 0)
                return false;
        /* The second field may have blanks and brackets. */
        s = strrchr(text, ')');
        for (int field = 2; s && field < START_FIELD; field++)
                s = strchr(s + 1, ' ');
        return s && strncmp(s + 1, start, strlen(start)) == 0 && s[1 + strlen(start)] == ' ';
}

/* The names that kpod-exec's process has before it waits: in brackets before systemd has executed
 * it, then the file's, the number of a file, and the first one again. */
static bool is_beginning(const char *name) {
        return *name == '(' || strcmp(name, "kpod-exec\n") == 0 ||
               (*name && name[strspn(name, "0123456789")] == '\n');
}

/* Until the program has begun its place is not complete; no event says so. */
static int settle(int folder) {
        char name[TEXT_MAX];

        for (int i = 0; i < SETTLE_TRIES; i++) {
                int r = read_text(folder, "comm", name, sizeof(name));

                if (r < 0)
                        return -ESRCH;
                if (!is_beginning(name))
                        return 0;
                (void)poll(NULL, 0, 1);
        }
        return -ETIMEDOUT;
}

static int open_process(const char *process, int *ret) {
        const char *given = *process ? process : getenv("MAINPID"), *start;
        char path[64];
        int r;

        if (!given || strspn(given, "0123456789") == 0)
                return -ESRCH;
        start = strchr(given, ' ');
        snprintf(path, sizeof(path), "/proc/%.*s", (int)strspn(given, "0123456789"), given);
        *ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*ret < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        r = start && !has_started_at(*ret, start + 1) ? -ESRCH : settle(*ret);
        if (r < 0)
                close(*ret);
        return r;
}

/* Its own one counts for its children only, as ours does. */
static int open_pids(int folder, int *ret) {
        struct stat theirs, ours;
        int fd = openat(folder, "ns/pid_for_children", O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &theirs) < 0 || stat("/proc/self/ns/pid", &ours) < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        if (theirs.st_ino == ours.st_ino) {
                close(fd);
                fd = -1;
        }
        *ret = fd;
        return 0;
}

int place_of_process(const char *process, struct container_place *ret, const char **ret_what) {
        struct container_place p = PLACE_NONE;
        int r;

        *ret_what = "the container's process";
        r = open_process(process, &p.folder);
        if (r < 0)
                return r;
        r = open_pids(p.folder, &p.pids) < 0 ? -ESRCH : open_all(&p, ret_what);
        if (r < 0) {
                place_close(&p);
                return r;
        }
        *ret = p;
        return 0;
}

int place_pids_of(const char *process, struct container_place *to, const char **ret_what) {
        int folder, r;

        *ret_what = "the process of the other container";
        r = open_process(process, &folder);
        if (r < 0)
                return r;
        r = open_pids(folder, &to->pids);
        close(folder);
        if (r < 0)
                return r;
        return to->pids < 0 ? -ESRCH : 0;
}

/* 1; 0 while the unit's process has not made its namespace yet. */
static int look_for_share(const char *share, int *ret) {
        int folder = open_in_unit(share), fd = -1, r;

        if (folder < 0)
                return 0;
        r = open_pids(folder, &fd);
        if (r >= 0 && fd >= 0 && !is_in(folder, share)) {
                close(fd);
                fd = -1;
        }
        close(folder);
        if (r < 0 || fd < 0)
                return 0;
        *ret = fd;
        return 1;
}

int place_pids_of_unit(const char *share, struct container_place *to, const char **ret_what) {
        *ret_what = share;
        for (int i = 0; i < SETTLE_TRIES; i++) {
                if (look_for_share(share, &to->pids) > 0)
                        return 0;
                (void)poll(NULL, 0, 1);
        }
        return -ESRCH;
}

/* ---- entering ---- */

static bool is_root(int fd) {
        struct stat theirs, ours;

        return fstat(fd, &theirs) >= 0 && stat("/", &ours) >= 0 && theirs.st_ino == ours.st_ino &&
               theirs.st_dev == ours.st_dev;
}

/* The mounts last: from there on a path is one of the container. */
int place_enter(const struct container_place *p, const char **ret_what) {
        const struct {
                int fd, type;
        } rows[] = {{p->net, CLONE_NEWNET}, {p->ipc, CLONE_NEWIPC}, {p->names, CLONE_NEWUTS},
                        {p->pids, CLONE_NEWPID}, {p->mounts, CLONE_NEWNS}};

        *ret_what = "the container's namespaces";
        for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
                if (rows[i].fd >= 0 && setns(rows[i].fd, rows[i].type) < 0)
                        return -errno;
        *ret_what = "the container's root";
        return is_root(p->root) ? 0 : -EXDEV;
}

int place_enter_users(const struct container_place *p, const char **ret_what) {
        *ret_what = "the container's user namespace";
        return p->users >= 0 && setns(p->users, CLONE_NEWUSER) < 0 ? -errno : 0;
}

/* ---- this program's own file ---- */

int place_run_read_only(char *const *argv, char *const *envp) {
        struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY};
        struct statvfs s;
        int fd = open("/proc/self/exe", O_PATH | O_CLOEXEC);

        if (fd < 0 || fstatvfs(fd, &s) < 0)
                return -errno;
        if (s.f_flag & ST_RDONLY) {
                close(fd);
                return 0;
        }
        close(fd);
        fd = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0)
                return -errno;
        execveat(fd, "", argv, envp, AT_EMPTY_PATH);
        return -errno;
}
