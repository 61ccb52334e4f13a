/* kctl image import: an archive of `docker save`, an OCI archive or the folder of an OCI layout
 * goes over SSH to each node, which unpacks it with keelson-image. A process feeds the connection:
 * the request's line first, then the bytes of the archive. */
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kctl/image.h"
#include "lib/fileio.h"
#include "lib/timefmt.h"

enum { PIECE = 1 << 16, SAY_US = 2 * 1000000 };

extern char **environ;

struct import {
        const char *path, *name;
        bool folder;
        off_t size; /* of a file; 0: not known */
};

/* tar -C FOLDER -cf - -- NAME... */
static int tar_words(const char *folder, char ***ret) {
        const char *const words[] = {"tar", "-C", folder, "-cf", "-", "--"};
        _cleanup_strv_free_ char **argv = NULL, **names = NULL;
        int r = file_list(folder, &names);

        if (r < 0)
                return r;
        for (size_t i = 0; i < ELEMENTS(words); i++) {
                r = strv_extend(&argv, words[i]);
                if (r < 0)
                        return r;
        }
        for (char **name = names; name && *name; name++) {
                r = strv_extend(&argv, *name);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(argv);
        return 0;
}

static int spawn_with(char *const *argv, int out, posix_spawn_file_actions_t *actions, pid_t *ret) {
        int r = -posix_spawn_file_actions_adddup2(actions, out, STDOUT_FILENO);

        if (r < 0)
                return r;
        return -posix_spawnp(ret, argv[0], actions, NULL, argv, environ);
}

/* tar writes the folder's entries to the pipe. */
static int start_tar(const char *folder, int out, pid_t *ret) {
        _cleanup_strv_free_ char **argv = NULL;
        posix_spawn_file_actions_t actions;
        int r = tar_words(folder, &argv);

        if (r < 0)
                return r;
        r = -posix_spawn_file_actions_init(&actions);
        if (r < 0)
                return r;
        r = spawn_with(argv, out, &actions, ret);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

static int feed_folder(const struct import *x, int out) {
        pid_t pid;
        int status, r = start_tar(x->path, out, &pid);

        if (r < 0)
                return r;
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int feed_file(const struct import *x, const char *node, int out) {
        _cleanup_close_ int fd = open(x->path, O_RDONLY | O_CLOEXEC);
        _cleanup_free_ char *piece = malloc(PIECE);
        uint64_t told_us = now_mono_us();
        off_t sent = 0;

        if (fd < 0)
                return -errno;
        if (!piece)
                return -ENOMEM;
        for (;;) {
                ssize_t n = read(fd, piece, PIECE);
                int r;

                if (n <= 0)
                        return n < 0 ? -errno : 0;
                r = file_write_all(out, piece, (size_t)n);
                if (r < 0)
                        return r;
                sent += n;
                if (now_mono_us() < told_us + SAY_US || x->size == 0)
                        continue;
                told_us = now_mono_us();
                printf("%s: sent %lld of %lld MB\n", node, (long long)sent / 1000000,
                                (long long)x->size / 1000000);
                fflush(stdout);
        }
}

/* The feeding process; returns its exit code. */
static int feed(const struct import *x, const char *node, int out) {
        _cleanup_json_ json_t *request =
                        json_pack("{s:s, s:s*}", "action", "import", "name", x->name);
        _cleanup_free_ char *text = request ? json_text(request) : NULL,
                            *line = text ? strformat("%s\n", text) : NULL;
        int r = line ? file_write_all(out, line, strlen(line)) : -ENOMEM;

        if (r < 0)
                return EXIT_ERROR;
        r = x->folder ? feed_folder(x, out) : feed_file(x, node, out);
        /* The node says why it wants no more. */
        if (r < 0 && r != -EPIPE)
                kctl_error("%s: %s: %s", node, x->path, strerror(-r));
        return r < 0 ? EXIT_ERROR : EXIT_OK;
}

static int import_on(struct image_node *n, const void *userdata, struct problem *p) {
        const struct import *x = userdata;
        int pipe[2], r, status;
        pid_t pid;

        if (pipe2(pipe, O_CLOEXEC) < 0)
                return -errno;
        fflush(NULL);
        pid = fork();
        if (pid == 0) {
                close(pipe[0]);
                signal(SIGPIPE, SIG_IGN);
                _exit(feed(x, n->name, pipe[1]));
        }
        close(pipe[1]);
        if (pid < 0) {
                r = -errno;
                close(pipe[0]);
                return r;
        }
        r = image_request(n, pipe[0], p);
        close(pipe[0]);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        return -errno;
        return r;
}

static int look_at_file(struct import *x, struct problem *p) {
        struct stat st;

        if (stat(x->path, &st) < 0 || access(x->path, R_OK) < 0)
                return problem_set(p, errno, 0, NULL, "%s: %s", x->path, strerror(errno));
        x->folder = S_ISDIR(st.st_mode);
        if (!x->folder && !S_ISREG(st.st_mode))
                return problem_set(p, EINVAL, 0, NULL,
                                "%s: an archive or the folder of an OCI layout is needed", x->path);
        x->size = x->folder ? 0 : st.st_size;
        return 0;
}

int kctl_image_import(struct kctl *k) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *nodes = NULL;
        struct import x = {.name = k->flags.name};

        if (!k->words)
                return kctl_usage(k, "which file? for example: kctl image import app.tar n1 n2 (of "
                                     "docker save, or an OCI archive)");
        x.path = k->words[0];
        if (look_at_file(&x, &p) < 0)
                return kctl_fail(&p);
        if (!kctl_client(k))
                return EXIT_ERROR;
        if (image_nodes(k, /* from= */ 1, /* default_all= */ false, &nodes, &p) < 0)
                return kctl_fail(&p);
        return image_on_nodes(k, nodes, import_on, &x, /* on_result= */ NULL, /* result= */ NULL);
}
