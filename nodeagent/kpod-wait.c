/* All signals are blocked in it, and read. Its name is "kpod-wait" once the program has begun. */
#include "nodeagent/kpod-wait.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CODE_OF_SIGNAL = 128 };

/* The name of the process that waits; before, it has that of its file (kpod-place.c). */
#define WAITING "kpod-wait"

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

int wait_prepare(const struct namespace_plan *p) {
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
_Noreturn void wait_as(pid_t child, const struct notify *notify) {
        const struct notify kept = {0, 1};

        (void)prctl(PR_SET_NAME, WAITING, 0, 0, 0);
        if (!notify || dup2(notify->from, kept.from) < 0 || dup2(notify->to, kept.to) < 0) {
                close_from(0);
                pass_on_signals(child);
        }
        close_from(2);
        pass_on_messages(child, &kept);
}
