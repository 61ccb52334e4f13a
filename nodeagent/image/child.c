/* Two pipes and a pid. What comes from the child is read with bounds, because it may have been
 * taken over by the bytes that it reads. */
#include "nodeagent/image/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "lib/buf.h"
#include "lib/fileio.h"
#include "lib/plain.h"
#include "lib/timefmt.h"
#include "nodeagent/image/cause.h"

enum { PIECE = 65536, MESSAGE_MAX = 4096 };

struct image_child {
        struct image_child_options options;
        pid_t pid;
        int in, out; /* the parent's ends */
        struct buf received;
        size_t searched; /* bytes of received without a newline */
};

static void run_child(const struct image_child_options *o, int in, int out, pid_t parent) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || getppid() != parent)
                _exit(1);
        _exit(o->run(in, out, o->userdata));
}

int image_child_start(struct image_child **ret, const struct image_child_options *options,
                struct problem *p) {
        _cleanup_(image_child_freep) struct image_child *c = calloc(1, sizeof(*c));
        _cleanup_close_ int in = -EBADF, out = -EBADF;
        int commands[2], answers[2];
        pid_t parent = getpid();

        if (!c)
                return -ENOMEM;
        c->options = *options;
        c->in = c->out = -EBADF;
        if (pipe2(commands, O_CLOEXEC) < 0)
                return image_problem(p, errno, IMAGE_CAUSE_INTERNAL, "a pipe: %s", strerror(errno));
        in = commands[0];
        c->in = commands[1];
        if (pipe2(answers, O_CLOEXEC) < 0)
                return image_problem(p, errno, IMAGE_CAUSE_INTERNAL, "a pipe: %s", strerror(errno));
        c->out = answers[0];
        out = answers[1];
        c->pid = fork();
        if (c->pid < 0)
                return image_problem(p, errno, IMAGE_CAUSE_INTERNAL,
                                "a process for the image cannot be started: %s", strerror(errno));
        if (c->pid == 0) {
                close(c->in);
                close(c->out);
                run_child(options, in, out, parent);
        }
        *ret = TAKE_PTR(c);
        return 0;
}

struct image_child *image_child_free(struct image_child *c) {
        if (!c)
                return NULL;
        safe_close(c->in);
        safe_close(c->out);
        if (c->pid > 0) {
                (void)kill(c->pid, SIGKILL);
                while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
                        ;
        }
        buf_done(&c->received);
        return mfree(c);
}

/* The child ended without an answer. */
static int ended(struct image_child *c, struct problem *p) {
        pid_t pid = c->pid;
        int status = 0;

        (void)kill(pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0)
                if (errno != EINTR)
                        break;
        c->pid = 0;
        return image_problem(p, ECHILD, IMAGE_CAUSE_INTERNAL,
                        WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL
                                        ? "the process that reads the image crashed (signal %d)"
                                        : "the process that reads the image was killed (%d), "
                                          "perhaps because memory ran out",
                        WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
}

/* 1: something was read; 0: the end. */
static int receive(struct image_child *c, struct problem *p) {
        struct pollfd poll_fd = {.fd = c->out, .events = POLLIN};
        char piece[PIECE];
        ssize_t n;

        for (;;) {
                uint64_t now = now_mono_us();
                int r, wait_ms;

                if (now >= c->options.deadline_us)
                        return image_problem(p, ETIMEDOUT, IMAGE_CAUSE_SLOW,
                                        "it took too long (limit totalSeconds)");
                wait_ms = (int)MIN((c->options.deadline_us - now) / 1000 + 1, UINT64_C(60000));
                r = poll(&poll_fd, 1, wait_ms);
                if (r < 0 && errno != EINTR)
                        return -errno;
                if (r > 0)
                        break;
        }
        do
                n = read(c->out, piece, sizeof(piece));
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return n < 0 ? -errno : 0;
        if (c->received.size + (size_t)n > CHILD_LINE_MAX)
                return image_problem(p, EFBIG, IMAGE_CAUSE_INTERNAL,
                                "the process that reads the image said too much");
        return buf_append(&c->received, piece, (size_t)n) < 0 ? -ENOMEM : 1;
}

/* The next answer. */
static int next_answer(struct image_child *c, json_t **ret, struct problem *p) {
        char *newline;
        int r;

        for (;;) {
                newline = c->received.size > c->searched
                                          ? memchr(c->received.data + c->searched, '\n',
                                                            c->received.size - c->searched)
                                          : NULL;
                if (newline)
                        break;
                c->searched = c->received.size;
                r = receive(c, p);
                if (r < 0)
                        return r;
                if (r == 0)
                        return ended(c, p);
        }
        size_t n = (size_t)(newline - c->received.data);
        r = json_parse(c->received.data, n, 0, ret, NULL);
        buf_consume(&c->received, n + 1);
        c->searched = 0;
        if (r == -EINVAL)
                return image_problem(p, EBADMSG, IMAGE_CAUSE_INTERNAL,
                                "the process that reads the image cannot be understood");
        return r;
}

static int report_failure(const json_t *answer, struct problem *p) {
        const char *message = json_str_or(answer, "message", "");
        _cleanup_free_ char *shown = plain_copy(message, strnlen(message, MESSAGE_MAX), PLAIN_LINE);
        int64_t wait_s = json_int_or(answer, "retryAfter", 0);
        int r;

        if (!shown)
                return -ENOMEM;
        r = image_problem(p, EIO, image_cause_from_text(json_str_or(answer, "cause", "")), "%s",
                        shown);
        p->retry_after_s = wait_s > 0 ? (int)MIN(wait_s, INT64_C(3600)) : 0;
        return r;
}

int image_child_ask(struct image_child *c, const json_t *command, json_t **ret, struct problem *p) {
        int r = command ? image_child_answer(c->in, json_ref(command)) : 0;

        if (r < 0)
                return r == -EPIPE ? ended(c, p) : r;
        for (;;) {
                _cleanup_json_ json_t *answer = NULL;
                const char *type;

                r = next_answer(c, &answer, p);
                if (r < 0)
                        return r;
                type = json_str_or(answer, "type", "");
                if (streq(type, "failed"))
                        return report_failure(answer, p);
                if (streq(type, "ok")) {
                        *ret = TAKE_PTR(answer);
                        return 0;
                }
                if (c->options.on_progress)
                        c->options.on_progress(answer, c->options.userdata);
        }
}

int image_child_answer(int out, json_t *answer) {
        _cleanup_free_ char *text = answer ? json_text(answer) : NULL, *line = NULL;

        json_decref(answer);
        line = text ? strformat("%s\n", text) : NULL;
        return line ? file_write_all(out, line, strlen(line)) : -ENOMEM;
}

int image_child_answer_problem(int out, const struct problem *p) {
        return image_child_answer(
                        out, json_pack("{s:s, s:s, s:s, s:s, s:i}", "type", "failed", "reason",
                                             p->reason ? p->reason : "ErrImagePull", "cause",
                                             image_cause_text(image_problem_cause(p)), "message",
                                             p->message ? p->message : "out of memory",
                                             "retryAfter", p->retry_after_s));
}

int image_child_read_line(int fd, size_t size_max, char **ret, size_t *ret_size) {
        _cleanup_buf_ struct buf line = {0};
        char c;

        for (;;) {
                ssize_t n = read(fd, &c, 1);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return -errno;
                if (n == 0 && line.size == 0)
                        return -ENODATA;
                if (n == 0 || c == '\n')
                        break;
                if (line.size == size_max)
                        return -EFBIG;
                if (buf_append_char(&line, c) < 0)
                        return -ENOMEM;
        }
        *ret_size = line.size;
        *ret = buf_take(&line);
        return *ret ? 0 : -ENOMEM;
}
