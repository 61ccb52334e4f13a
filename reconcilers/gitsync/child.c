/* posix_spawn, two pipes and a timer. The answer is complete at end of file; the exit status is
 * only for the message of a failure. */
#include "reconcilers/gitsync/child.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "lib/buf.h"

enum { CHILD_REPLY_SIZE_MAX = 160 << 20, PROGRESS_SIZE_MAX = 4096 };

extern char **environ;

struct child {
        pid_t pid;
        int input_fd, output_fd;
        sd_event_source *input, *output, *timer;
        bool answering; /* progress has ended */
        struct buf to_write, reply;
        child_done_func done;
        child_progress_func progress;
        void *userdata;
};

struct child *child_free(struct child *c) {
        if (!c)
                return NULL;
        sd_event_source_disable_unref(c->input);
        sd_event_source_disable_unref(c->output);
        sd_event_source_disable_unref(c->timer);
        safe_close(c->input_fd);
        safe_close(c->output_fd);
        if (c->pid > 0) {
                (void)kill(c->pid, SIGKILL);
                (void)waitpid(c->pid, NULL, 0);
        }
        buf_done(&c->to_write);
        buf_done(&c->reply);
        free(c);
        return NULL;
}

static void child_finish(struct child *c, const char *why) {
        _cleanup_json_ json_t *reply = NULL;
        _cleanup_free_ char *text = NULL;
        child_done_func done = c->done;
        void *userdata = c->userdata;
        int status = 0;

        if (!why) {
                (void)waitpid(c->pid, &status, 0); /* its output has ended, so it is exiting */
                c->pid = 0;
                if (json_parse(strempty(c->reply.data), c->reply.size, 0, &reply, NULL) < 0) {
                        text = WIFSIGNALED(status)
                                               ? strformat("it was killed by signal %i",
                                                                 WTERMSIG(status))
                                               : strformat("it ended with status %i and no answer",
                                                                 WEXITSTATUS(status));
                        why = strempty(text);
                }
        }
        c = child_free(c);
        done(reply, why, userdata);
}

/* Complete lines before the answer, which has no line end. */
static void take_lines(struct child *c) {
        char *newline;

        while (c->reply.size > 0 && (newline = memchr(c->reply.data, '\n', c->reply.size))) {
                size_t n = (size_t)(newline - c->reply.data);
                _cleanup_json_ json_t *line = NULL;

                if (json_parse(c->reply.data, n, 0, &line, NULL) < 0 || !json_str(line, "progress"))
                        return;
                if (c->progress)
                        c->progress(json_str(line, "progress"), c->userdata);
                buf_consume(&c->reply, n + 1);
        }
}

void child_on_progress(struct child *c, child_progress_func progress) {
        c->progress = progress;
}

static int on_output(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct child *c = userdata;
        char piece[65536];
        ssize_t n = read(fd, piece, sizeof(piece));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                child_finish(c, n < 0 ? strerror(errno) : NULL);
        else if (c->reply.size + (size_t)n > CHILD_REPLY_SIZE_MAX ||
                        buf_append(&c->reply, piece, (size_t)n) < 0)
                child_finish(c, "its answer is too large");
        else if (!c->answering) {
                take_lines(c);
                c->answering = c->reply.size > PROGRESS_SIZE_MAX;
        }
        return 0;
}

static int on_input(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
        struct child *c = userdata;
        ssize_t n = write(fd, c->to_write.data, c->to_write.size);

        if (n > 0)
                buf_consume(&c->to_write, (size_t)n);
        if (c->to_write.size == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
                c->input = sd_event_source_disable_unref(c->input);
                c->input_fd = safe_close(c->input_fd);
        }
        return 0;
}

static int on_timeout(sd_event_source *s, uint64_t usec, void *userdata) {
        child_finish(userdata, "it did not end in time");
        return 0;
}

static int spawn(struct child *c, char *const *argv) {
        _cleanup_close_ int child_in = -EBADF, child_out = -EBADF;
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        int in[2], out[2], r;
        sigset_t none;

        if (pipe2(in, O_CLOEXEC) < 0)
                return -errno;
        child_in = in[0];
        c->input_fd = in[1];
        if (pipe2(out, O_CLOEXEC) < 0)
                return -errno;
        c->output_fd = out[0];
        child_out = out[1];
        if (fcntl(c->input_fd, F_SETFL, O_NONBLOCK) < 0 ||
                        fcntl(c->output_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        sigemptyset(&none);
        posix_spawn_file_actions_init(&actions);
        posix_spawnattr_init(&attributes);
        /* The child must not inherit the daemon's blocked signals. */
        posix_spawnattr_setsigmask(&attributes, &none);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        posix_spawn_file_actions_adddup2(&actions, child_in, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, child_out, STDOUT_FILENO);
        r = posix_spawn(&c->pid, argv[0], &actions, &attributes, argv, environ);
        posix_spawn_file_actions_destroy(&actions);
        posix_spawnattr_destroy(&attributes);
        if (r != 0)
                c->pid = 0;
        return -r;
}

int child_start(struct child **ret, sd_event *event, char *const *argv, const json_t *input,
                uint64_t timeout_us, child_done_func done, void *userdata) {
        _cleanup_free_ char *text = json_text(input);
        _cleanup_(child_freep) struct child *c = calloc(1, sizeof(*c));
        int r;

        if (!c)
                return -ENOMEM;
        *c = (struct child){.input_fd = -EBADF,
                        .output_fd = -EBADF,
                        .done = done,
                        .userdata = userdata};
        if (!text || buf_append_str(&c->to_write, text) < 0)
                return -ENOMEM;
        r = spawn(c, argv);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &c->output, c->output_fd, EPOLLIN, on_output, c);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &c->input, c->input_fd, EPOLLOUT, on_input, c);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        event, &c->timer, CLOCK_MONOTONIC, timeout_us, 1000000, on_timeout, c);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(c);
        return 0;
}
