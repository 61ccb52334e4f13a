/* Running a program of the user's choice. */
#include "kctl/program.h"

#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

int run_by_shell(const char *command, char *const *arguments, int *ret_code, struct problem *p) {
        _cleanup_free_ char *line = strformat("%s \"$@\"", command);
        _cleanup_strv_free_ char **argv = NULL;
        int status, r = -ENOMEM;
        pid_t pid;

        if (line && strv_extend(&argv, "sh") == 0 && strv_extend(&argv, "-c") == 0 &&
                        strv_extend(&argv, line) == 0 && strv_extend(&argv, "sh") == 0)
                r = 0;
        for (; r == 0 && arguments && *arguments; arguments++)
                r = strv_extend(&argv, *arguments);
        if (r < 0)
                return r;
        fflush(stdout);
        r = posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ);
        if (r != 0)
                return problem_set(p, r, 0, NULL, "cannot run %s: %s", command, strerror(r));
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return 0;
}

int private_folder(char **ret, struct problem *p) {
        const char *root = getenv("TMPDIR");
        _cleanup_free_ char *path = strformat("%s/kctl-XXXXXX", isempty(root) ? "/tmp" : root);

        if (!path)
                return -ENOMEM;
        if (!mkdtemp(path))
                return problem_set(p, errno, 0, NULL, "cannot make a folder %s: %s; $TMPDIR names "
                                                      "another place",
                                path, strerror(errno));
        *ret = TAKE_PTR(path);
        return 0;
}
