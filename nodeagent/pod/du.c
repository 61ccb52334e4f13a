/* du's answer is one line "amount<TAB>path" for each folder. */
#include "nodeagent/pod/du.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/buf.h"

enum { ANSWER_SIZE_MAX = 1024 * 1024 };

extern char **environ;

struct du {
        struct du_options options;
        pid_t pid;
        sd_event_source *io;
        int fd;
        struct buf text;
};

struct du *du_free(struct du *d) {
        if (!d)
                return NULL;
        sd_event_source_disable_unref(d->io);
        safe_close(d->fd);
        buf_done(&d->text);
        if (d->pid > 0) {
                (void)kill(d->pid, SIGKILL);
                while (waitpid(d->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        free(d);
        return NULL;
}

static void take_lines(struct du *d, const char *text) {
        for (const char *line = text; *line;) {
                const char *end = strchrnul(line, '\n'),
                           *tab = memchr(line, '\t', (size_t)(end - line));
                _cleanup_free_ char *number = tab ? strndup(line, (size_t)(tab - line)) : NULL,
                                    *path = tab ? strndup(tab + 1, (size_t)(end - tab - 1)) : NULL;
                uint64_t amount;

                if (number && path && parse_u64(number, &amount) >= 0)
                        d->options.on_path(path, amount, d->options.userdata);
                line = *end ? end + 1 : end;
        }
}

static int on_answer(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct du *d = userdata;
        char piece[4096];
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && d->text.size < ANSWER_SIZE_MAX) {
                buf_append(&d->text, piece, (size_t)n);
                return 0;
        }
        if (!d->text.failed && d->text.size > 0)
                take_lines(d, d->text.data);
        d->options.on_end(d, d->options.userdata);
        return 0;
}

static int spawn_with(
                char *const *argv, int output, posix_spawn_file_actions_t *actions, pid_t *ret) {
        int r = -posix_spawn_file_actions_adddup2(actions, output, STDOUT_FILENO);

        if (r < 0)
                return r;
        return -posix_spawnp(ret, argv[0], actions, /* attributes= */ NULL, argv, environ);
}

static int spawn(char *const *argv, int output, pid_t *ret) {
        posix_spawn_file_actions_t actions;
        int r = -posix_spawn_file_actions_init(&actions);

        if (r < 0)
                return r;
        r = spawn_with(argv, output, &actions, ret);
        posix_spawn_file_actions_destroy(&actions);
        return r;
}

/* Nothing is mounted in a volume here; files of an overlay have other devices than its folders, so
 * that --one-file-system would leave them out. */
static int command(const struct du_options *o, char ***ret) {
        const char *const words[] = {"du", o->unit == DU_INODES ? "--inodes" : "--block-size=1",
                        "--summarize", "--"};
        _cleanup_strv_free_ char **argv = NULL;
        int r;

        for (size_t i = 0; i < ELEMENTS(words); i++) {
                r = strv_extend(&argv, words[i]);
                if (r < 0)
                        return r;
        }
        for (char *const *p = o->paths; *p; p++) {
                r = strv_extend(&argv, *p);
                if (r < 0)
                        return r;
        }
        *ret = TAKE_PTR(argv);
        return 0;
}

int du_start(struct du **ret, sd_event *event, const struct du_options *options) {
        _cleanup_(du_freep) struct du *d = calloc(1, sizeof(*d));
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_close_ int output = -EBADF;
        int ends[2], r;

        if (!d)
                return -ENOMEM;
        *d = (struct du){.options = *options, .fd = -EBADF};
        d->options.paths = NULL;
        r = command(options, &argv);
        if (r < 0)
                return r;
        if (pipe2(ends, O_CLOEXEC) < 0)
                return -errno;
        d->fd = ends[0];
        output = ends[1];
        r = spawn(argv, output, &d->pid);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &d->io, d->fd, EPOLLIN, on_answer, d);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(d);
        return 0;
}
