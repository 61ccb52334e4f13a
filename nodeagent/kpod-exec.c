/* kpod-exec: every command of a pod is started through it. systemd does not write all words of a
 * transient unit's command back unchanged, and refuses some names of variables; so a unit has plain
 * words only, and the command is in a file that the agent writes (nodeagent/plan/command.c).
 *
 *   kpod-exec FILE [REPORT]
 *   kpod-exec hold
 *   kpod-exec share
 *
 * FILE is the line "kpod-exec 1", then fields that each end in a NUL byte. The first byte of a
 * field is its type: D the working directory, E a variable NAME=value, A a word of the command, T a
 * file that is emptied first (the termination message). Variables replace those of systemd; the
 * command is searched in the resulting PATH. These are for a process namespace (kpod-namespace.h):
 * H the unit that holds the container's mounts, N the options of /proc, J the process whose
 * namespace is joined, M what is masked in /proc, S the folder of a socket for messages to systemd,
 * which are passed on (kpod-notify.h), C the capabilities of the program, "BOUNDING AMBIENT" in
 * hexadecimal, F its filter of system calls, P it gains no privileges (kpod-confine.h).
 *
 * REPORT gets one line before the command runs, "ran INVOCATION", or "error INVOCATION text": so
 * every exit code is the program's own. The exit code after an error is 128, as with container
 * runtimes. Without REPORT errors go to standard error, and the exit code of a command that cannot
 * be executed is a shell's: 127 when it is not there, else 126.
 *
 * With an image it is executed on the machine's own root, and enters the container's. Otherwise it
 * runs in the pod's sandbox, as its user, below its system call filter: linked statically, it makes
 * no system call that starting the program would not need.
 *
 * "share" keeps a process namespace for the containers of a pod (kpod-share.h), G is its unit.
 * "hold" does nothing, in a container's root and mounts, until they have been taken. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config.h"
#include "nodeagent/kpod-namespace.h"
#include "nodeagent/kpod-notify.h"
#include "nodeagent/kpod-place.h"
#include "nodeagent/kpod-share.h"

enum {
        EXIT_NOT_STARTED = 128,
        EXIT_NOT_FOUND = 127,
        EXIT_NOT_EXECUTABLE = 126,
        FILE_SIZE_MAX = 16 * 1024 * 1024,
        MESSAGE_MAX = 1024,
        PID_VARIABLES = 4,
        PID_VARIABLE_MAX = 32,
        LOCK_TRIES = 1 << 17, /* some tenths of a second; the agent locks it for one read */
};

/* Where the folder of the command's file is in the container's root (plan/pod-to-units.c). */
static char notify_variable[] = "NOTIFY_SOCKET=/run/kpod/command/" NOTIFY_SOCKET_NAME;

static const char magic[] = "kpod-exec 1\n";

extern char **environ;

struct command {
        const char *directory, *truncate;
        char **argv, **envp;
        size_t argc, envc;
        struct namespace_plan namespace;
        char pid_variables[PID_VARIABLES][PID_VARIABLE_MAX];
};

static const char *variable(char *const *envp, size_t n, const char *name) {
        size_t length = strlen(name);

        for (size_t i = 0; i < n; i++)
                if (strncmp(envp[i], name, length) == 0 && envp[i][length] == '=')
                        return envp[i] + length + 1;
        return NULL;
}

/* The file of the report. */
struct report {
        const char *path; /* NULL: none */
        int fd;           /* opened before the root is another one; -1: by its path */
};

static int open_report(const struct report *report, int flags) {
        if (!report->path)
                return -1;
        if (report->fd < 0)
                return open(report->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | flags);
        if (flags & O_TRUNC && ftruncate(report->fd, 0) < 0)
                return -1;
        return lseek(report->fd, 0, SEEK_SET) < 0 ? -1 : report->fd;
}

/* Returns the file, to be closed; -1: there is none. */
static int write_report(const struct report *report, const char *word, const char *text) {
        char line[MESSAGE_MAX + 64];
        const char *id = getenv("INVOCATION_ID");
        int fd = open_report(report, O_TRUNC), n;

        if (fd < 0)
                return -1;
        n = snprintf(line, sizeof(line), "%s %.32s%s%s\n", word, id ? id : "", *text ? " " : "",
                        text);
        /* Without the report the agent only knows less. */
        if (n > 0 && write(fd, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1) < 0)
                n = 0;
        return fd;
}

/* Locks the report. False when others held locks on it during all tries. There is no pause between
 * them, because a wait with a bound would need another system call. True also without flock(): then
 * the agent has no lock either. */
static bool lock_report(int fd) {
        for (unsigned i = 0; i < LOCK_TRIES; i++)
                if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
                        return true;
        return false;
}

/* "ran" cannot be written after the program has replaced this one. It is written before, and the
 * file stays locked until then (O_CLOEXEC) or until the end: the agent believes it once the lock is
 * gone. So without the lock it is not written. */
static void report_run(const struct report *report) {
        int fd = open_report(report, 0), written;

        if (fd < 0)
                return;
        if (!lock_report(fd)) {
                close(fd);
                return;
        }
        written = write_report(report, "ran", "");
        if (written >= 0 && written != fd)
                close(written);
}

static int fail(const struct report *report, const char *what, const char *name, int error) {
        char text[MESSAGE_MAX];

        snprintf(text, sizeof(text), "%s \"%.512s\": %s", what, name, strerror(error));
        if (report->path)
                (void)write_report(report, "error", text); /* closed by the end */
        else
                dprintf(STDERR_FILENO, "%s\n", text);
        return EXIT_NOT_STARTED;
}

static char *read_whole(const char *path, size_t *ret_size) {
        struct stat st;
        char *data = NULL;
        size_t n = 0;
        int fd = open(path, O_RDONLY | O_CLOEXEC);

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) < 0)
                goto failed;
        errno = EFBIG;
        if (st.st_size < 0 || st.st_size > FILE_SIZE_MAX)
                goto failed;
        data = malloc((size_t)st.st_size + 1);
        if (!data)
                goto failed;
        while (n < (size_t)st.st_size) {
                ssize_t r = read(fd, data + n, (size_t)st.st_size - n);

                if (r < 0 && errno == EINTR)
                        continue;
                if (r < 0)
                        goto failed;
                if (r == 0)
                        break;
                n += (size_t)r;
        }
        close(fd);
        data[n] = 0;
        *ret_size = n;
        return data;
failed:
        free(data);
        close(fd);
        return NULL;
}

static void set_variable(struct command *c, char *line) {
        size_t length = (size_t)(strchr(line, '=') - line) + 1;

        for (size_t i = 0; i < c->envc; i++)
                if (strncmp(c->envp[i], line, length) == 0) {
                        c->envp[i] = line;
                        return;
                }
        c->envp[c->envc++] = line;
}

static bool take_capabilities(struct confinement *c, const char *text) {
        char *end;

        errno = 0;
        c->bounding = strtoull(text, &end, 16);
        if (errno != 0 || end == text || *end != ' ')
                return false;
        text = end + 1;
        c->ambient = strtoull(text, &end, 16);
        return errno == 0 && end != text && !*end;
}

static bool take_field(struct command *c, char *field) {
        switch (*field) {
        case 'A':
                c->argv[c->argc++] = field + 1;
                return true;
        case 'D':
                c->directory = field + 1;
                return true;
        case 'T':
                c->truncate = field + 1;
                return true;
        case 'E':
                if (!strchr(field + 1, '='))
                        return false;
                set_variable(c, field + 1);
                return true;
        case 'N':
                c->namespace.proc = field + 1;
                return true;
        case 'J':
                c->namespace.join = field + 1;
                return true;
        case 'M':
                c->namespace.masks = field + 1;
                return true;
        case 'H':
                c->namespace.hold = field + 1;
                return true;
        case 'G':
                c->namespace.share = field + 1;
                return true;
        case 'S':
                c->namespace.notify = field + 1;
                return true;
        case 'P':
                c->namespace.confinement.no_new_privileges = true;
                return true;
        case 'C':
                return take_capabilities(&c->namespace.confinement, field + 1);
        case 'F':
                c->namespace.confinement.filter = field + 1;
                return true;
        default:
                return false;
        }
}

/* data must stay: argv and envp point into it. */
static int parse(char *data, size_t size, struct command *c) {
        char *s = data + strlen(magic), *end = data + size;
        size_t fields = 0, inherited = 0;

        if (size < strlen(magic) || memcmp(data, magic, strlen(magic)) != 0)
                return -EBADMSG;
        for (char *f = s; f < end; f++)
                fields += *f == 0;
        if (end > s && end[-1] != 0)
                return -EBADMSG;
        while (environ[inherited])
                inherited++;
        c->argv = calloc(fields + 1, sizeof(char *));
        c->envp = calloc(inherited + fields + 2, sizeof(char *)); /* one is notify_variable */
        c->namespace.confinement.bounding = UINT64_MAX;
        if (!c->argv || !c->envp)
                return -ENOMEM;
        memcpy(c->envp, environ, inherited * sizeof(char *));
        c->envc = inherited;
        for (; s < end; s += strlen(s) + 1)
                if (!take_field(c, s))
                        return -EBADMSG;
        return c->argc > 0 && *c->argv[0] ? 0 : -EBADMSG;
}

/* Like execvp(), but with the PATH of the new environment, and a file that is not a program is an
 * error instead of a shell script. Returns an errno value. */
static int run(const struct command *c) {
        const char *path = variable(c->envp, c->envc, "PATH");
        int r = ENOENT;
        char full[PATH_MAX];

        if (strchr(c->argv[0], '/')) {
                execve(c->argv[0], c->argv, c->envp);
                return errno;
        }
        if (!path)
                path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        for (const char *s = path;; s++) {
                size_t n = strcspn(s, ":");
                int length = snprintf(full, sizeof(full), "%.*s/%s", n > 0 ? (int)n : 1,
                                n > 0 ? s : ".", c->argv[0]);

                if (n < sizeof(full) && length > 0 && (size_t)length < sizeof(full)) {
                        execve(full, c->argv, c->envp);
                        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
                                return errno;
                        /* EACCES says more than ENOENT: there was a file. */
                        if (errno == EACCES)
                                r = EACCES;
                }
                s += n;
                if (!*s)
                        return r;
        }
}

/* systemd has set them to the number that this process had before it was in the namespace:
 * libsystemd ignores what is for another one. The container's main process is the first one. */
static void renumber(struct command *c) {
        static const char *const own[] = {"LISTEN_PID", "WATCHDOG_PID", "SYSTEMD_EXEC_PID"};
        size_t used = 0;

        for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++) {
                if (!variable(c->envp, c->envc, own[i]))
                        continue;
                snprintf(c->pid_variables[used], PID_VARIABLE_MAX, "%s=%d", own[i], (int)getpid());
                set_variable(c, c->pid_variables[used++]);
        }
        if (!variable(c->envp, c->envc, "MAINPID"))
                return;
        snprintf(c->pid_variables[used], PID_VARIABLE_MAX, "MAINPID=1");
        set_variable(c, c->pid_variables[used]);
}

/* Into the container's process namespace, if it has one. 0, also without; an exit code. */
static int enter(struct command *c, char *data, struct report *report, char **argv) {
        struct namespace_plan *n = &c->namespace;
        const char *what = "";
        int r;

        if (!n->hold && !n->join)
                return 0;
        r = place_run_read_only(argv, environ);
        if (r < 0)
                return fail(report, "a read-only mount cannot be made of", argv[0], -r);
        report->fd = open_report(report, 0);
        n->release[0] = data;
        n->release[1] = c->argv;
        n->release[2] = c->envp;
        r = namespace_enter(n, &what);
        if (r == -ENOLINK)
                return NAMESPACE_NOT_HELD;
        if (r < 0)
                return fail(report, "the container's process namespace cannot be entered:", what,
                                -r);
        renumber(c);
        if (n->notify && variable(c->envp, c->envc, "NOTIFY_SOCKET"))
                set_variable(c, notify_variable);
        return 0;
}

static _Noreturn void hold(void) {
        for (;;)
                (void)pause();
}

int main(int argc, char **argv) {
        struct report report = {.path = argc > 2 ? argv[2] : NULL, .fd = -1};
        struct command c = {0};
        size_t size;
        char *data;
        int r;

        if (argc == 2 && strcmp(argv[1], "--version") == 0)
                return puts("kpod-exec " PACKAGE_VERSION) < 0;
        if (argc == 2 && strcmp(argv[1], "hold") == 0)
                hold();
        if (argc == 2 && strcmp(argv[1], "share") == 0)
                return share_run();
        if (argc < 2 || argc > 3) {
                dprintf(STDERR_FILENO, "usage: kpod-exec FILE [REPORT]\n");
                return EXIT_NOT_STARTED;
        }
        data = read_whole(argv[1], &size);
        if (!data)
                return fail(&report, "cannot read the command's file", argv[1], errno);
        r = parse(data, size, &c);
        if (r < 0)
                return fail(&report, "cannot use the command's file", argv[1], -r);
        r = enter(&c, data, &report, argv);
        if (r != 0)
                return r;
        if (c.truncate) {
                int fd = open(c.truncate, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
                if (fd >= 0)
                        close(fd);
        }
        if (c.directory && chdir(c.directory) < 0)
                return fail(&report, "the working directory cannot be entered:", c.directory,
                                errno);
        report_run(&report);
        r = run(&c);
        (void)fail(&report,
                        "the command cannot be executed (is it there, and executable?):", c.argv[0],
                        r);
        return report.path ? EXIT_NOT_STARTED : r == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
}
