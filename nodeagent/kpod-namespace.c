/* A process namespace needs a process that is born in it, so there are two: the one that systemd
 * has started makes the namespace or joins it, and waits; its child is the program. The unit gives
 * both the capabilities for this, and neither has them any longer when the program begins.
 *
 * A new namespace: the child mounts /proc and makes its user namespace while nothing else is in the
 * process namespace. The parent writes the user namespace's maps, enters it too and drops what it
 * has, before the child goes on. It stays outside of the process namespace, where the program can
 * neither see nor signal it; its name is "kpod-wait" once the program has begun.
 *
 * Joining: everything that needs a privilege is done before the fork, because the child can be seen
 * by the container's processes. /proc is a copy of the container's, with the same masks.
 *
 * When the parent is killed the child is, too; the kernel ends a namespace with its first process.
 * What PR_SET_PDEATHSIG misses (a program may reset it), systemd kills: the unit's main process is
 * the parent. */
#include "nodeagent/kpod-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "nodeagent/kpod-notify.h"

enum {
        SETTLE_TRIES = 5000, /* of a millisecond */
        STAT_MAX = 1024,
        START_FIELD = 22, /* of /proc/PID/stat, proc(5) */
        CODE_OF_SIGNAL = 128,
};

/* The name of the process that waits; before, it has that of its file. */
#define WAITING "kpod-wait"

static int with(const char **what, const char *text) {
        *what = text;
        return -errno;
}

/* ---- the process that waits ---- */

/* As the program has ended. */
static _Noreturn void end_as(int status) {
        sigset_t one;
        int n;

        if (WIFEXITED(status))
                _exit(WEXITSTATUS(status));
        n = WTERMSIG(status);
        (void)sigemptyset(&one);
        (void)sigaddset(&one, n);
        (void)signal(n, SIG_DFL);
        (void)kill(getpid(), n);
        (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
        _exit(CODE_OF_SIGNAL + n);
}

static void close_from(int first) {
        if (close_range((unsigned)first, ~0U, 0) == 0)
                return;
        for (int fd = (int)sysconf(_SC_OPEN_MAX); fd >= first; fd--)
                (void)close(fd);
}

/* The program may have another user, so signals need CAP_KILL. Nothing reaches this process but
 * signals. */
static int become_waiting(const struct namespace_plan *p) {
        for (size_t i = 0; i < sizeof(p->release) / sizeof(*p->release); i++)
                free(p->release[i]);
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}) < 0)
                return -errno;
        return confine_to_capabilities(UINT64_C(1) << CAP_KILL);
}

/* A program that asks its parent to trace it (PTRACE_TRACEME) stops for good: nobody does. */
static void end_with(pid_t child) {
        int status;
        pid_t pid = waitpid(child, &status, WNOHANG);

        if (pid == child && (WIFEXITED(status) || WIFSIGNALED(status)))
                end_as(status);
        if (pid < 0 && errno == ECHILD)
                _exit(CODE_OF_SIGNAL + SIGKILL);
}

/* All signals are blocked, but those that cannot be. */
static _Noreturn void pass_on_signals(pid_t child) {
        siginfo_t info;
        sigset_t all;

        (void)sigfillset(&all);
        for (;;) {
                int n;

                end_with(child);
                n = sigwaitinfo(&all, &info);
                if (n > 0 && n != SIGCHLD)
                        (void)kill(child, n);
        }
}

static _Noreturn void pass_on_messages(pid_t child, const struct notify *notify) {
        struct signalfd_siginfo info;
        struct pollfd fds[] = {{.events = POLLIN}, {.fd = notify->from, .events = POLLIN}};
        sigset_t all;

        (void)sigfillset(&all);
        fds[0].fd = signalfd(-1, &all, SFD_CLOEXEC | SFD_NONBLOCK);
        if (fds[0].fd < 0)
                pass_on_signals(child);
        for (;;) {
                end_with(child);
                if (poll(fds, 2, -1) < 0)
                        continue;
                while (read(fds[0].fd, &info, sizeof(info)) == sizeof(info))
                        if (info.ssi_signo != SIGCHLD)
                                (void)kill(child, (int)info.ssi_signo);
                notify_pass_on(notify);
        }
}

/* Keeps the sockets only. */
static _Noreturn void wait_for(pid_t child, const struct notify *notify) {
        const struct notify kept = {0, 1};

        (void)prctl(PR_SET_NAME, WAITING, 0, 0, 0);
        if (!notify || dup2(notify->from, kept.from) < 0 || dup2(notify->to, kept.to) < 0) {
                close_from(0);
                pass_on_signals(child);
        }
        close_from(2);
        pass_on_messages(child, &kept);
}

/* ---- the process that executes the program ---- */

/* A program's terminal belongs to its session, which another process has begun: systemd for a unit
 * with a terminal. The signals that this sends are ours, not the program's. */
static void release_terminal(void) {
        struct timespec now = {0};
        sigset_t set;

        if (tcgetsid(STDIN_FILENO) != getsid(0) || ioctl(STDIN_FILENO, TIOCNOTTY) < 0)
                return;
        (void)sigemptyset(&set);
        (void)sigaddset(&set, SIGHUP);
        (void)sigaddset(&set, SIGCONT);
        while (sigtimedwait(&set, NULL, &now) > 0)
                ;
}

static int begin_session(const sigset_t *mask, const char **what) {
        if (setsid() < 0)
                return with(what, "a session");
        if (isatty(STDIN_FILENO))
                (void)ioctl(STDIN_FILENO, TIOCSCTTY, 0);
        if (sigprocmask(SIG_SETMASK, mask, NULL) < 0)
                return with(what, "the signals");
        /* A change of capabilities resets it, so it comes last. */
        return prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 ? with(what, "a signal") : 0;
}

/* ---- a new namespace ---- */

/* Those of systemd's ProtectKernelTunables and ProtectKernelLogs. */
static const struct mask {
        const char *path, *word;
        bool hidden; /* or read-only */
} mask_rows[] = {{"/proc/acpi", "tunables", false}, {"/proc/apm", "tunables", false},
                {"/proc/asound", "tunables", false}, {"/proc/bus", "tunables", false},
                {"/proc/fs", "tunables", false}, {"/proc/irq", "tunables", false},
                {"/proc/kallsyms", "tunables", true}, {"/proc/kcore", "tunables", true},
                {"/proc/kmsg", "logs", true}, {"/proc/latency_stats", "tunables", false},
                {"/proc/mtrr", "tunables", false}, {"/proc/scsi", "tunables", false},
                {"/proc/sys", "tunables", false}, {"/proc/sysrq-trigger", "tunables", false},
                {"/proc/timer_stats", "tunables", false}};

enum { FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC };

static int protect(const struct mask *m) {
        if (access(m->path, F_OK) < 0)
                return errno == ENOENT ? 0 : -errno;
        if (mount(m->hidden ? "/dev/null" : m->path, m->path, NULL, MS_BIND, NULL) < 0)
                return -errno;
        if (!m->hidden && mount(NULL, m->path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | FLAGS,
                                          NULL) < 0)
                return -errno;
        return 0;
}

static int protect_all(const struct mask *rows, size_t n, const char *masks) {
        for (size_t i = 0; i < n; i++) {
                int r = strstr(masks, rows[i].word) ? protect(&rows[i]) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

static int mount_proc(const struct namespace_plan *p, const char **what) {
        /* The one that is there shows the processes of the machine. */
        if (umount2("/proc", MNT_DETACH) < 0 && errno != EINVAL)
                return with(what, "the machine's /proc");
        if (mount("proc", "/proc", "proc", FLAGS, p->proc) < 0)
                return with(what, "/proc");
        *what = "what is hidden in /proc";
        return protect_all(mask_rows, sizeof(mask_rows) / sizeof(*mask_rows),
                        p->masks ? p->masks : "");
}

/* Ends when the other side has written a byte (1), or is gone (0). */
static int await(int fd) {
        char byte;
        ssize_t n;

        do
                n = read(fd, &byte, 1);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
}

/* It is process 1 of the namespace. The file `up` is closed when the program begins. */
static int be_first(const struct namespace_plan *p, const sigset_t *mask, int up, int down,
                const char **what) {
        int r;

        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return with(what, "a signal");
        r = mount_proc(p, what);
        if (r < 0)
                return r;
        if (p->users && unshare(CLONE_NEWUSER) < 0)
                return with(what, "a user namespace");
        if (write(up, "", 1) != 1 || await(down) != 1)
                return errno = EPIPE, with(what, "the process that waits");
        close(down);
        r = confine_program(&p->confinement, what);
        return r < 0 ? r : begin_session(mask, what);
}

static int write_file(const char *path, const char *text) {
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        ssize_t n;

        if (fd < 0)
                return -errno;
        n = write(fd, text, strlen(text));
        if (n < 0) {
                n = -errno;
                close(fd);
                return (int)n;
        }
        close(fd);
        return 0;
}

/* Root and the container's own user and group, as systemd's PrivateUsers. */
static int write_map(const char *path, unsigned id) {
        char text[64];

        if (id == 0)
                snprintf(text, sizeof(text), "0 0 1\n");
        else
                snprintf(text, sizeof(text), "0 0 1\n%u %u 1\n", id, id);
        return write_file(path, text);
}

/* Of process 1, in the /proc that it has mounted. */
static int enter_its_users(const char **what) {
        int fd, r;

        *what = "the maps of the user namespace";
        r = write_file("/proc/1/setgroups", "deny");
        if (r < 0)
                return r;
        r = write_map("/proc/1/gid_map", getegid());
        if (r < 0)
                return r;
        r = write_map("/proc/1/uid_map", geteuid());
        if (r < 0)
                return r;
        fd = open("/proc/1/ns/user", O_RDONLY | O_CLOEXEC);
        return fd < 0 || setns(fd, CLONE_NEWUSER) < 0 ? -errno : 0; /* closed by wait_for() */
}

/* Returns only when it fails, or when the child has failed before the program began. */
static int wait_for_first(const struct namespace_plan *p, pid_t child, int up, int down,
                const struct notify *notify, const char **what) {
        int r;

        if (await(up) == 1) {
                r = p->users ? enter_its_users(what) : 0;
                if (r < 0)
                        return r;
                *what = "what the waiting process has";
                r = become_waiting(p);
                if (r < 0)
                        return r;
                if (write(down, "", 1) != 1)
                        return with(what, "the first process");
                (void)await(up);
        }
        wait_for(child, notify);
}

static int make(const struct namespace_plan *p, const char **what) {
        int up[2], down[2], r;
        struct notify notify;
        sigset_t all, mask;
        bool notifies;
        pid_t child;

        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, &mask) < 0 || pipe2(up, O_CLOEXEC) < 0 ||
                        pipe2(down, O_CLOEXEC) < 0)
                return with(what, "two pipes");
        r = p->notify ? notify_open(&notify, what) : 0;
        if (r < 0)
                return r;
        notifies = r > 0;
        release_terminal();
        if (unshare(CLONE_NEWPID) < 0)
                return with(what, "a process namespace");
        child = fork();
        if (child < 0)
                return with(what, "its first process");
        if (child == 0) {
                close(up[0]);
                close(down[1]);
                return be_first(p, &mask, up[1], down[0], what);
        }
        close(up[1]);
        close(down[0]);
        r = wait_for_first(p, child, up[0], down[1], notifies ? &notify : NULL, what);
        (void)kill(child, SIGKILL);
        return r;
}

/* ---- joining one ---- */

struct target {
        int folder, pid, mounts, users; /* the folder in /proc, and its namespaces; -1: none */
};

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

/* A number of a process is used again after it; with the time of its start it is the same one. */
static bool has_started_at(int folder, const char *start) {
        char text[STAT_MAX], *s;

        if (read_text(folder, "stat", text, sizeof(text)) < 0)
                return false;
        /* The second field may have blanks and brackets. */
        s = strrchr(text, ')');
        for (int field = 2; s && field < START_FIELD; field++)
                s = strchr(s + 1, ' ');
        return s && strncmp(s + 1, start, strlen(start)) == 0 && s[1 + strlen(start)] == ' ';
}

/* Until the program has begun its namespace is not complete. Before, the process has the name of
 * kpod-exec's file, in brackets before systemd has executed that; no event says that it changes.
 * Another program with the name costs its own container's commands a few seconds. */
static int settle(int folder) {
        char name[STAT_MAX];

        for (int i = 0; i < SETTLE_TRIES; i++) {
                int r = read_text(folder, "comm", name, sizeof(name));

                if (r < 0)
                        return r;
                if (strcmp(name, "exec\n") != 0 && strcmp(name, "(exec)\n") != 0)
                        break;
                (void)poll(NULL, 0, 1);
        }
        return 0;
}

static int open_target(const char *join, struct target *t) {
        const char *given = *join ? join : getenv("MAINPID"), *start;
        char path[64];

        if (!given || strspn(given, "0123456789") == 0)
                return -ESRCH;
        start = strchr(given, ' ');
        snprintf(path, sizeof(path), "/proc/%.*s", (int)strspn(given, "0123456789"), given);
        t->folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (t->folder < 0)
                return errno == ENOENT ? -ESRCH : -errno;
        if (start && !has_started_at(t->folder, start + 1))
                return -ESRCH;
        return settle(t->folder);
}

/* -1 when it is our own one already. */
static int open_other(int folder, const char *name, const char *own, int *ret) {
        struct stat theirs, ours;
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);

        if (fd < 0 || fstat(fd, &theirs) < 0 || stat(own, &ours) < 0)
                return -errno;
        if (theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev) {
                close(fd);
                fd = -1;
        }
        *ret = fd;
        return 0;
}

static int open_namespaces(struct target *t, bool users) {
        int r = open_other(t->folder, "ns/pid_for_children", "/proc/self/ns/pid", &t->pid);

        if (r < 0)
                return r;
        r = open_other(t->folder, "ns/mnt", "/proc/self/ns/mnt", &t->mounts);
        if (r < 0 || !users)
                return r;
        return open_other(t->folder, "ns/user", "/proc/self/ns/user", &t->users);
}

/* The container's /proc with all that is mounted in it, instead of our own. */
static int take_proc(const struct target *t) {
        int own, tree;
        struct statfs s;

        if (t->mounts < 0)
                return 0;
        own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
        if (own < 0 || setns(t->mounts, CLONE_NEWNS) < 0)
                return -errno;
        tree = open_tree(AT_FDCWD, "/proc",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW);
        if (tree < 0 || fstatfs(tree, &s) < 0)
                return -errno;
        if (s.f_type != PROC_SUPER_MAGIC)
                return -ENODEV;
        if (setns(own, CLONE_NEWNS) < 0)
                return -errno;
        close(own);
        if (umount2("/proc", MNT_DETACH) < 0 && errno != EINVAL)
                return -errno;
        if (move_mount(tree, "", AT_FDCWD, "/proc", MOVE_MOUNT_F_EMPTY_PATH) < 0)
                return -errno;
        close(tree);
        return 0;
}

static int enter_target(const struct namespace_plan *p, struct target *t, const char **what) {
        int r = open_target(p->join, t);

        *what = "the container's process";
        if (r < 0)
                return r;
        *what = "the container's namespaces";
        r = open_namespaces(t, p->users);
        if (r < 0)
                return r;
        if (t->pid >= 0 && setns(t->pid, CLONE_NEWPID) < 0)
                return -errno;
        *what = "the container's /proc";
        r = take_proc(t);
        if (r < 0)
                return r;
        *what = "the container's user namespace";
        if (t->users >= 0 && setns(t->users, CLONE_NEWUSER) < 0)
                return -errno;
        return confine_program(&p->confinement, what);
}

static int join(const struct namespace_plan *p, const char **what) {
        struct target t = {-1, -1, -1, -1};
        sigset_t all, mask;
        pid_t child;
        int r = enter_target(p, &t, what);

        if (r < 0)
                return r;
        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, &mask) < 0)
                return with(what, "the signals");
        release_terminal();
        /* A container of an agent before this one has no process namespace. */
        if (t.pid < 0)
                return sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ? with(what, "the signals") : 0;
        child = fork();
        if (child < 0)
                return with(what, "a process in the container");
        if (child == 0)
                return begin_session(&mask, what);
        (void)become_waiting(p);
        wait_for(child, NULL);
}

int namespace_enter(const struct namespace_plan *given, const char **ret_what) {
        struct namespace_plan p = *given;

        /* systemd has dropped more where a restriction of the unit says so. */
        p.confinement.bounding &= confine_bounding();
        /* Nobody else's view of this process, until the program is executed. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
                return with(ret_what, "what others may see");
        return p.join ? join(&p, ret_what) : make(&p, ret_what);
}
