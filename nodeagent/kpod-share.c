/* `kpod-exec share`, a unit of its own beside those of the containers (plan/pids.c). The containers
 * find the namespace by the unit's processes. The first process is visible to them, and they may
 * have its user: it has no capability, cannot be traced, and its root is an empty folder. The
 * kernel ignores signals to it from within. */
#include "nodeagent/kpod-share.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nodeagent/kpod-confine.h"

static _Noreturn void be_first(void) {
        (void)close_range(0, ~0U, 0);
        /* The kernel reaps its children. */
        if (signal(SIGCHLD, SIG_IGN) == SIG_ERR || chroot("/proc/self/fdinfo") < 0 ||
                        chdir("/") < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
                        confine_to_capabilities(0) < 0 ||
                        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
                _exit(EXIT_FAILURE);
        for (;;)
                (void)pause();
}

int share_run(void) {
        pid_t child;

        if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || unshare(CLONE_NEWPID) < 0)
                return EXIT_FAILURE;
        child = fork();
        if (child < 0)
                return EXIT_FAILURE;
        if (child == 0)
                be_first();
        (void)confine_to_capabilities(0);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
                ;
        return EXIT_FAILURE;
}
