/* A process namespace needs a process that is born in it, so there are two: the one that systemd
 * has started makes the namespace or joins it, and waits (kpod-wait.c); its child is the program.
 * The unit gives both the capabilities for this, and neither has them any longer when the program
 * begins. Both are executed on the machine's own root, from a mount that nobody can write to. The
 * container's root and mounts are those of another process, which has no rights at all (plan/pids.c
 * says why this is safe).
 *
 * What has a privilege opens no path of the container, but /proc without following links. Nobody
 * can trace it (PR_SET_DUMPABLE), nor does it have a file of the machine open when the program's
 * own paths are used.
 *
 * A new namespace: the child mounts /proc while it is alone, or cannot be traced by those that are
 * there, and waits until the parent has given up what it has. The parent stays outside of the
 * process namespace, where the program can neither see nor signal it.
 *
 * When the parent is killed the child is, too; the kernel ends a namespace with its first process.
 * What PR_SET_PDEATHSIG misses (a program may reset it), systemd kills: the unit's main process is
 * the parent. */
#include "nodeagent/kpod-namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "nodeagent/kpod-notify.h"
#include "nodeagent/kpod-place.h"
#include "nodeagent/kpod-wait.h"
#include "nodeagent/proc-masks.h"

static int with(const char **what, const char *text) {
        *what = text;
        return -errno;
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

/* ---- /proc ---- */

/* What is mounted over hidden files: the machine's /dev/null, taken while its paths are those of
 * the machine. */
struct covers {
        int files[PROC_MASKS];
};

static int take_covers(const struct namespace_plan *p, struct covers *ret, const char **what) {
        for (size_t i = 0; i < PROC_MASKS; i++) {
                ret->files[i] = -1;
                if (!proc_masks[i].hidden || !p->masks || !strstr(p->masks, proc_masks[i].word))
                        continue;
                ret->files[i] = open_tree(
                                AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
                if (ret->files[i] < 0)
                        return with(what, "what is hidden in /proc");
        }
        return 0;
}

/* Without following links, and in `folder` only. */
static int open_beneath(int folder, const char *path, uint64_t resolve) {
        struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                        .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | resolve};

        return (int)syscall(SYS_openat2, folder, path, &how, sizeof(how));
}

static int mount_at(int tree, int place) {
        return move_mount(tree, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int make_read_only(int place) {
        struct mount_attr a = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                           MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC};
        int tree = open_tree(place, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH), r;

        if (tree < 0)
                return -errno;
        r = mount_setattr(tree, "", AT_EMPTY_PATH, &a, sizeof(a)) < 0 || mount_at(tree, place) < 0
                            ? -errno
                            : 0;
        close(tree);
        return r;
}

static int mask(int proc, const struct proc_mask *m, int cover) {
        int place = open_beneath(proc, m->path, RESOLVE_BENEATH | RESOLVE_NO_XDEV), r = 0;

        if (place < 0)
                return errno == ENOENT ? 0 : -errno;
        if (!m->hidden)
                r = make_read_only(place);
        else if (mount_at(cover, place) < 0)
                r = -errno;
        close(place);
        return r;
}

/* A file system of this process's namespace. */
static int make_proc(const char *options) {
        int context = fsopen("proc", FSOPEN_CLOEXEC), proc = -1, r;

        if (context < 0)
                return -errno;
        if ((!*options || fsconfig(context, FSCONFIG_SET_STRING, "subset", options, 0) >= 0) &&
                        fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) >= 0)
                proc = fsmount(context, FSMOUNT_CLOEXEC,
                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
        r = proc < 0 ? -errno : proc;
        close(context);
        return r;
}

/* Over the one that systemd has mounted, which shows the processes of the machine: it stays below,
 * where nothing leads to. */
static int cover_proc(int proc) {
        int place = open_beneath(AT_FDCWD, "/proc", 0), r;
        struct statfs s;

        if (place < 0 || fstatfs(place, &s) < 0)
                r = -errno;
        else if (s.f_type != PROC_SUPER_MAGIC)
                r = -ENODEV;
        else
                r = mount_at(proc, place) < 0 ? -errno : 0;
        if (place >= 0)
                close(place);
        return r;
}

static int mount_proc(const struct namespace_plan *p, const struct covers *c, const char **what) {
        int proc = make_proc(p->proc), r;

        *what = "/proc";
        if (proc < 0)
                return proc;
        r = cover_proc(proc);
        if (r < 0)
                return r;
        *what = "what is hidden in /proc";
        for (size_t i = 0; i < PROC_MASKS; i++) {
                if (!p->masks || !strstr(p->masks, proc_masks[i].word))
                        continue;
                r = mask(proc, &proc_masks[i], c->files[i]);
                if (r < 0)
                        return r;
                if (c->files[i] >= 0)
                        close(c->files[i]);
        }
        close(proc);
        return 0;
}

/* ---- a new place ---- */

struct making {
        const struct namespace_plan *plan;
        struct container_place place;
        struct covers covers;
        struct notify notify;
        bool notifies;
        sigset_t mask;
        int up[2], down[2];
};

/* Ends when the other side has written a byte (1), or is gone (0). */
static int await(int fd) {
        char byte;
        ssize_t n;

        do
                n = read(fd, &byte, 1);
        while (n < 0 && errno == EINTR);
        return n < 0 ? -errno : (int)n;
}

/* The file up[1] is closed when the program begins. */
static int be_program(struct making *m, const char **what) {
        int r;

        close(m->up[0]);
        close(m->down[1]);
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                return with(what, "a signal");
        r = mount_proc(m->plan, &m->covers, what);
        if (r < 0)
                return r;
        r = place_enter_users(&m->place, what);
        if (r < 0)
                return r;
        if (write(m->up[1], "", 1) != 1 || await(m->down[0]) != 1)
                return errno = EPIPE, with(what, "the process that waits");
        close(m->down[0]);
        place_close(&m->place);
        if (m->notifies) {
                close(m->notify.from);
                close(m->notify.to);
        }
        r = confine_program(&m->plan->confinement, what);
        return r < 0 ? r : begin_session(&m->mask, what);
}

/* Returns only when it fails, or when the child has failed before the program began. */
static int wait_for_program(struct making *m, pid_t child, const char **what) {
        int r;

        close(m->up[1]);
        close(m->down[0]);
        if (await(m->up[0]) == 1) {
                r = place_enter_users(&m->place, what);
                if (r < 0)
                        return r;
                *what = "what the waiting process has";
                r = wait_prepare(m->plan);
                if (r < 0)
                        return r;
                if (write(m->down[1], "", 1) != 1)
                        return with(what, "the program's process");
                (void)await(m->up[0]);
        }
        wait_as(child, m->notifies ? &m->notify : NULL);
}

/* All that is opened by paths of the machine. */
static int open_for(struct making *m, const char **what) {
        const struct namespace_plan *p = m->plan;
        int r = place_of_unit(p->hold, &m->place, what);

        if (r == -ESRCH)
                return -ENOLINK;
        if (r < 0)
                return r;
        if (p->join) {
                r = place_pids_of(p->join, &m->place, what);
                if (r < 0)
                        return r;
        }
        if (p->share) {
                r = place_pids_of_unit(p->share, &m->place, what);
                if (r < 0)
                        return r;
        }
        r = take_covers(p, &m->covers, what);
        if (r < 0)
                return r;
        r = p->notify ? notify_open(p->notify, &m->notify, what) : 0;
        m->notifies = r > 0;
        return r;
}

static int make(const struct namespace_plan *p, const char **what) {
        struct making m = {.plan = p, .place = PLACE_NONE};
        sigset_t all;
        pid_t child;
        int r;

        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, &m.mask) < 0 || pipe2(m.up, O_CLOEXEC) < 0 ||
                        pipe2(m.down, O_CLOEXEC) < 0)
                return with(what, "two pipes");
        r = open_for(&m, what);
        if (m.place.folder >= 0)
                place_release(&m.place);
        if (r < 0)
                return r;
        release_terminal();
        r = place_enter(&m.place, what);
        if (r < 0)
                return r;
        if (m.place.pids < 0 && unshare(CLONE_NEWPID) < 0)
                return with(what, "a process namespace");
        child = fork();
        if (child < 0)
                return with(what, "the program's process");
        if (child == 0)
                return be_program(&m, what);
        r = wait_for_program(&m, child, what);
        (void)kill(child, SIGKILL);
        return r;
}

/* ---- joining one ---- */

static int enter_container(const struct namespace_plan *p, bool *ret_apart, const char **what) {
        struct container_place place;
        int r = place_of_process(p->join, &place, what);

        if (r < 0)
                return r;
        /* A container of an agent before this one has no process namespace. */
        *ret_apart = place.pids >= 0;
        r = place_enter(&place, what);
        if (r < 0)
                return r;
        r = place_enter_users(&place, what);
        if (r < 0)
                return r;
        place_close(&place);
        return confine_program(&p->confinement, what);
}

/* Everything that needs a privilege is done before the fork: the container's processes can see the
 * child. */
static int join(const struct namespace_plan *p, const char **what) {
        sigset_t all, mask;
        bool apart;
        pid_t child;
        int r = enter_container(p, &apart, what);

        if (r < 0)
                return r;
        (void)sigfillset(&all);
        if (sigprocmask(SIG_SETMASK, &all, &mask) < 0)
                return with(what, "the signals");
        release_terminal();
        if (!apart)
                return sigprocmask(SIG_SETMASK, &mask, NULL) < 0 ? with(what, "the signals") : 0;
        child = fork();
        if (child < 0)
                return with(what, "a process in the container");
        if (child == 0)
                return begin_session(&mask, what);
        (void)wait_prepare(p);
        wait_as(child, NULL);
}

int namespace_enter(const struct namespace_plan *given, const char **ret_what) {
        struct namespace_plan p = *given;

        /* systemd has dropped more where a restriction of the unit says so. */
        p.confinement.bounding &= confine_bounding();
        /* Nobody else's view of this process, until the program is executed. */
        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NAME, "kpod-exec", 0, 0, 0) < 0)
                return with(ret_what, "what others may see");
        return p.hold ? make(&p, ret_what) : join(&p, ret_what);
}
