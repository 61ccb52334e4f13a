/* kctl cp: tar here, tar in the pod, and an exec between them, as kubectl does. What comes from a
 * pod is unpacked into a new folder beside its target and then moved: names and links of the
 * archive lead nowhere else. */
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "kctl/remote.h"
#include "lib/buf.h"
#include "lib/fileio.h"

extern char **environ;

struct copy {
        struct kctl *kctl;
        struct copy_place from, to;
        char *ns; /* of the pod */
};

/* ---- tar here ---- */

struct child {
        pid_t pid;
        int fd; /* our end of the pipe */
};

enum child_end { CHILD_WRITES, CHILD_READS };

/* An errno value. */
static int spawn_with(const char *const *words, int fd, int as, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int r = posix_spawn_file_actions_init(&actions);

        if (r != 0)
                return r;
        r = posix_spawn_file_actions_adddup2(&actions, fd, as);
        if (r != 0) {
                posix_spawn_file_actions_destroy(&actions);
                return r;
        }
        r = posix_spawnp(ret, words[0], &actions, NULL, (char *const *)words, environ);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int spawn_tar(const char *const *words, enum child_end end, struct child *ret) {
        int fds[2], theirs = end == CHILD_WRITES ? 1 : 0, r;

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        r = spawn_with(words, fds[theirs], theirs, &ret->pid);
        safe_close(fds[theirs]);
        ret->fd = fds[1 - theirs];
        if (r != 0)
                ret->fd = safe_close(ret->fd);
        return -r;
}

/* Whether it succeeded; its own message is on standard error. */
static bool child_end(struct child *c) {
        int status = 0;

        c->fd = safe_close(c->fd);
        while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
                ;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static int no_tar(int error, struct problem *p) {
        return problem_set(p, -error, 0, NULL, "cannot run tar: %s; install it", strerror(-error));
}

/* ---- tar in the pod ---- */

static int run_in_pod(struct copy *c, const char *pod, const char *const *command, int in_fd,
                int out_fd, int *ret_code, struct problem *p) {
        _cleanup_buf_ struct buf query = {0};
        _cleanup_free_ char *path = NULL, *container = NULL;
        struct remote_options o = {.input = in_fd >= 0, .in_fd = in_fd, .out_fd = out_fd};

        for (const char *const *w = command; *w; w++) {
                _cleanup_free_ char *word = url_escape(*w);

                buf_printf(&query, "command=%s&", strempty(word));
        }
        if (c->kctl->flags.container)
                container = url_escape(c->kctl->flags.container);
        buf_printf(&query, "%s%s%sstdout=true&stderr=true%s", container ? "container=" : "",
                        strempty(container), container ? "&" : "", in_fd >= 0 ? "&stdin=true" : "");
        path = query.failed ? NULL : stream_path(c->ns, pod, "exec", query.data);
        if (!path)
                return -ENOMEM;
        o.path = path;
        return remote_run(c->kctl, &o, ret_code, p);
}

static int tar_failed(const char *pod, int code, struct problem *p) {
        return problem_set(p, EIO, 0, NULL, "tar in pod %s ended with exit code %d%s", pod, code,
                        code == 126 || code == 127
                                        ? ": copying needs a tar program in the container"
                                        : "");
}

/* ---- both directions ---- */

/* "DIR" and "BASE" of a path; the strings point into *buffer. */
static int split_path(
                const char *path, char **ret_buffer, const char **ret_dir, const char **ret_base) {
        size_t n = strlen(path);
        char *buffer = malloc(2 * n + 2), *second;

        if (!buffer)
                return -ENOMEM;
        second = buffer + n + 1;
        memcpy(buffer, path, n + 1);
        memcpy(second, path, n + 1);
        *ret_dir = dirname(buffer);
        *ret_base = basename(second);
        *ret_buffer = buffer;
        return 0;
}

static bool is_folder_in_pod(struct copy *c, const char *path) {
        const char *const command[] = {"test", "-d", path, NULL};
        _cleanup_problem_ struct problem p = {0};
        int code = 1;

        return run_in_pod(c, c->to.pod, command, -EBADF, -EBADF, &code, &p) >= 0 && code == 0;
}

static int send_tar(
                struct copy *c, const char *const *here, const char *folder, struct problem *p) {
        const char *const there[] = {"tar", "-xmf", "-", "-C", folder, NULL};
        struct child tar = {.fd = -EBADF};
        int code = 0, r = spawn_tar(here, CHILD_WRITES, &tar);

        if (r < 0)
                return no_tar(r, p);
        r = run_in_pod(c, c->to.pod, there, tar.fd, -EBADF, &code, p);
        if (!child_end(&tar) && r >= 0 && code == 0)
                return problem_set(p, EIO, 0, NULL, "tar could not read all of %s", c->from.path);
        if (r < 0)
                return r;
        return code == 0 ? 0 : tar_failed(c->to.pod, code, p);
}

static int upload(struct copy *c, struct problem *p) {
        _cleanup_free_ char *from = NULL, *to = NULL, *rename = NULL;
        const char *dir, *base, *folder, *name;
        bool into;
        int r;

        if (access(c->from.path, F_OK) < 0)
                return problem_set(p, errno, 0, NULL, "%s: %s", c->from.path, strerror(errno));
        r = split_path(c->from.path, &from, &dir, &base);
        if (r < 0)
                return r;
        r = split_path(c->to.path, &to, &folder, &name);
        if (r < 0)
                return r;
        into = endswith(c->to.path, "/") || is_folder_in_pod(c, c->to.path);
        rename = tar_rename(base, into ? base : name);
        if (!rename)
                return -ENOMEM;
        const char *const words[] = {
                        "tar", "cf", "-", "-C", dir, "--transform", rename, "--", base, NULL};

        return send_tar(c, words, into ? c->to.path : folder, p);
}

/* Moves what was unpacked to its place. */
static int place(const struct copy *c, const char *folder, const char *base, struct problem *p) {
        _cleanup_free_ char *unpacked = strformat("%s/%s", folder, base), *into = NULL;
        const char *target = c->to.path;
        struct stat st;

        if (stat(target, &st) == 0 && S_ISDIR(st.st_mode)) {
                into = strformat("%s/%s", target, base);
                target = into;
        }
        if (!unpacked || !target)
                return -ENOMEM;
        if (rename(unpacked, target) == 0)
                return 0;
        return problem_set(p, errno, 0, NULL, "cannot put the copy at %s: %s%s", target,
                        strerror(errno),
                        errno == ENOTEMPTY || errno == EEXIST ? " (remove it first)" : "");
}

static int receive(struct copy *c, const char *folder, struct problem *p) {
        _cleanup_free_ char *from = NULL;
        const char *dir, *base;
        struct child tar = {.fd = -EBADF};
        int code = 0, r = split_path(c->from.path, &from, &dir, &base);

        if (r < 0)
                return r;
        const char *const here[] = {"tar", "xmf", "-", "--no-same-owner", "-C", folder, NULL};
        const char *const there[] = {"tar", "cf", "-", "-C", dir, "--", base, NULL};

        r = spawn_tar(here, CHILD_READS, &tar);
        if (r < 0)
                return no_tar(r, p);
        r = run_in_pod(c, c->from.pod, there, -EBADF, tar.fd, &code, p);
        if (!child_end(&tar) && r >= 0 && code == 0)
                return problem_set(p, EIO, 0, NULL, "tar could not unpack %s", c->from.path);
        if (r < 0)
                return r;
        return code == 0 ? place(c, folder, base, p) : tar_failed(c->from.pod, code, p);
}

static int download(struct copy *c, struct problem *p) {
        _cleanup_free_ char *to = NULL, *folder = NULL;
        const char *dir, *base;
        int r = split_path(c->to.path, &to, &dir, &base);

        if (r < 0)
                return r;
        folder = strformat("%s/.kctl-cp-XXXXXX", dir);
        if (!folder)
                return -ENOMEM;
        if (!mkdtemp(folder))
                return problem_set(p, errno, 0, NULL, "cannot write into %s: %s", dir,
                                strerror(errno));
        r = receive(c, folder, p);
        (void)remove_tree(folder);
        return r;
}

static int copy(struct copy *c, struct problem *p) {
        const char *ns;
        int r = copy_place_parse(c->kctl->words[0], &c->from);

        if (r < 0)
                return r;
        r = copy_place_parse(c->kctl->words[1], &c->to);
        if (r < 0)
                return r;
        if (!c->from.pod == !c->to.pod)
                return problem_set(p, EINVAL, 0, NULL,
                                "one of the two must be in a pod: [NAMESPACE/]POD:PATH");
        if (isempty(c->from.path) || isempty(c->to.path))
                return problem_set(p, EINVAL, 0, NULL, "a path is missing");
        ns = c->from.pod ? c->from.ns : c->to.ns;
        c->ns = strdup(ns ? ns : kctl_namespace(c->kctl));
        if (!c->ns)
                return -ENOMEM;
        return c->from.pod ? download(c, p) : upload(c, p);
}

static void copy_done(struct copy *c) {
        copy_place_done(&c->from);
        copy_place_done(&c->to);
        free(c->ns);
}

int kctl_cp(struct kctl *k) {
        _cleanup_(copy_done) struct copy c = {.kctl = k};
        _cleanup_problem_ struct problem p = {0};

        if (strv_length(k->words) != 2)
                return kctl_usage(k, "what to where? kctl cp FILE POD:PATH, or POD:PATH FILE");
        if (!kctl_client(k))
                return EXIT_ERROR;
        (void)signal(SIGPIPE, SIG_IGN);
        return copy(&c, &p) < 0 ? kctl_fail(&p) : EXIT_OK;
}
