/* A process for each job, and one poll loop that reads what they print. */
#include "kctl/crew.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>

#include "lib/buf.h"

enum { TICK_MS = 200, JOBS_MAX = 256 };

struct channel {
        int fd;
        struct buf line;
};

struct job {
        size_t index;
        pid_t pid; /* 0: the place is free */
        struct channel out[2];
};

struct run {
        const struct crew *c;
        struct job *jobs; /* as many as run at the same time */
        size_t places, started, running;
};

static void give_line(struct run *run, struct job *j, int which) {
        struct buf *line = &j->out[which].line;

        if (run->c->on_line)
                run->c->on_line(j->index, which == 1, strempty(line->data), run->c->userdata);
        buf_reset(line);
}

/* What came, line by line. A failed allocation loses text, not the job. */
static void take(struct run *run, struct job *j, int which, const char *data, size_t n) {
        struct buf *line = &j->out[which].line;

        for (size_t i = 0; i < n; i++) {
                if (data[i] != '\n')
                        (void)buf_append_char(line, data[i]);
                if (data[i] == '\n' || line->size >= CREW_LINE_MAX)
                        give_line(run, j, which);
        }
}

static void read_channel(struct run *run, struct job *j, int which) {
        struct channel *c = &j->out[which];
        char data[16384];
        ssize_t n;

        while (c->fd >= 0) {
                n = read(c->fd, data, sizeof(data));
                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0 && errno == EAGAIN)
                        return;
                if (n <= 0)
                        c->fd = safe_close(c->fd);
                else
                        take(run, j, which, data, (size_t)n);
        }
}

static void end_job(struct run *run, struct job *j, int status) {
        for (int which = 0; which < 2; which++) {
                read_channel(run, j, which);
                j->out[which].fd = safe_close(j->out[which].fd);
                if (j->out[which].line.size > 0)
                        give_line(run, j, which);
                buf_done(&j->out[which].line);
        }
        j->pid = 0;
        run->running--;
        if (run->c->on_end)
                run->c->on_end(j->index,
                                WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                                run->c->userdata);
}

_noreturn_ static void child(const struct crew *c, size_t index, int out, int err) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC), code;

        if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
                        dup2(err, STDERR_FILENO) < 0)
                _exit(1);
        code = c->job(index, c->userdata);
        fflush(NULL);
        _exit(code);
}

static int start_job(struct run *run, struct job *j, struct problem *p) {
        int out[2], err[2];

        if (pipe2(out, O_CLOEXEC) < 0)
                return problem_set(p, errno, 0, NULL, "cannot make a pipe: %s", strerror(errno));
        if (pipe2(err, O_CLOEXEC) < 0) {
                int r = problem_set(p, errno, 0, NULL, "cannot make a pipe: %s", strerror(errno));

                close(out[0]);
                close(out[1]);
                return r;
        }
        *j = (struct job){.index = run->started, .out = {{.fd = out[0]}, {.fd = err[0]}}};
        fflush(NULL);
        j->pid = fork();
        if (j->pid == 0)
                child(run->c, j->index, out[1], err[1]);
        close(out[1]);
        close(err[1]);
        if (j->pid < 0) {
                int r = problem_set(
                                p, errno, 0, NULL, "cannot start a process: %s", strerror(errno));

                close(out[0]);
                close(err[0]);
                j->pid = 0;
                return r;
        }
        (void)fcntl(out[0], F_SETFL, O_NONBLOCK);
        (void)fcntl(err[0], F_SETFL, O_NONBLOCK);
        run->running++;
        run->started++;
        if (run->c->on_start)
                run->c->on_start(j->index, run->c->userdata);
        return 0;
}

static int start_more(struct run *run, struct problem *p) {
        for (size_t i = 0; i < run->places && run->started < run->c->count; i++) {
                int r = run->jobs[i].pid ? 0 : start_job(run, &run->jobs[i], p);

                if (r < 0)
                        return r;
        }
        return 0;
}

static void look(struct run *run) {
        struct pollfd fds[JOBS_MAX * 2];
        size_t n = 0;

        for (size_t i = 0; i < run->places; i++)
                for (int which = 0; which < 2; which++)
                        if (run->jobs[i].pid && run->jobs[i].out[which].fd >= 0)
                                fds[n++] = (struct pollfd){run->jobs[i].out[which].fd, POLLIN, 0};
        (void)poll(fds, n, TICK_MS);
        for (size_t i = 0; i < run->places; i++) {
                struct job *j = &run->jobs[i];
                int status;

                if (!j->pid)
                        continue;
                read_channel(run, j, 0);
                read_channel(run, j, 1);
                if (waitpid(j->pid, &status, WNOHANG) == j->pid)
                        end_job(run, j, status);
        }
}

int crew_run(const struct crew *c, struct problem *p) {
        size_t most = c->parallel_max ? MIN(c->parallel_max, (size_t)JOBS_MAX) : CREW_PARALLEL_MAX;
        struct run run = {.c = c, .places = MIN(most, c->count)};
        bool stopped = false;
        int r = 0;

        run.jobs = calloc(run.places + 1, sizeof(*run.jobs));
        if (!run.jobs)
                return -ENOMEM;
        for (;;) {
                /* After a process that could not be started those that run are waited for. */
                if (!stopped) {
                        r = start_more(&run, p);
                        stopped = r < 0;
                }
                if (run.running == 0)
                        break;
                look(&run);
                if (c->on_tick)
                        c->on_tick(c->userdata);
        }
        free(run.jobs);
        return r;
}
