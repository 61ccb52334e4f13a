/* The files of a command: pipes, or a terminal of which the command gets the slave. A terminal has
 * one file for everything, which is read and written here; its slave is closed when the command has
 * ended, and reading then gives EIO. Attached to a running program there is one socket, to
 * keelson-logs.service, which ends when the program does. */
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "nodeagent/streams/session-internal.h"
#include "nodeagent/terminals.h"

enum { LAST_OUTPUT_US = 2000000 }; /* after the command's end, for output without an end */

static void file_close(struct stream_file *f) {
        f->io = sd_event_source_disable_unref(f->io);
        f->fd = safe_close(f->fd);
}

void run_done(struct stream_session *s) {
        file_close(&s->input);
        file_close(&s->output);
        file_close(&s->error);
        s->attached_tty = safe_close(s->attached_tty);
        buf_done(&s->to_input);
}

static int add_pipe(
                struct run_files *files, const char *name, bool input, struct stream_file *ret) {
        int fds[2];

        if (pipe2(fds, O_CLOEXEC) < 0)
                return -errno;
        files->names[files->count] = name;
        files->fds[files->count++] = fds[input ? 0 : 1];
        ret->fd = fds[input ? 1 : 0];
        return fcntl(ret->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_terminal(struct stream_session *s, struct run_files *files) {
        static const char *const names[] = {"stdin", "stdout", "stderr"};
        char slave[TERMINAL_PATH_SIZE];

        s->output.fd = terminal_open(slave);
        if (s->output.fd < 0)
                return s->output.fd;
        for (size_t i = 0; i < ELEMENTS(names); i++) {
                int fd = open(slave, O_RDWR | O_NOCTTY | O_CLOEXEC);

                if (fd < 0)
                        return -errno;
                files->names[files->count] = names[i];
                files->fds[files->count++] = fd;
        }
        return fcntl(s->output.fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int open_socket(struct stream_session *s, struct run_files *files) {
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -errno;
        s->attached = true;
        s->output.fd = fds[0];
        files->names[0] = "socket";
        files->fds[0] = fds[1];
        files->count = 1;
        return 0;
}

int run_open(struct stream_session *s, struct run_files *files) {
        const struct {
                const char *name;
                bool input;
                struct stream_file *file;
        } pipes[] = {{"stdin", true, &s->input}, {"stdout", false, &s->output},
                        {"stderr", false, &s->error}};

        s->tty = json_bool_or(s->request, "tty", false);
        if (streq(json_str_or(s->request, "verb", ""), "attach"))
                return open_socket(s, files);
        if (s->tty)
                return open_terminal(s, files);
        for (size_t i = 0; i < ELEMENTS(pipes); i++) {
                int r = json_bool_or(s->request, pipes[i].name, false)
                                        ? add_pipe(files, pipes[i].name, pipes[i].input,
                                                          pipes[i].file)
                                        : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* A terminal and a socket have one file for both directions. */
static int input_fd(const struct stream_session *s) {
        return s->input.fd >= 0 ? s->input.fd : s->tty || s->attached ? s->output.fd : -EBADF;
}

size_t run_waiting(const struct stream_session *s) {
        return s->to_input.size;
}

static void write_input(struct stream_session *s) {
        int fd = input_fd(s);
        ssize_t n;

        if (fd >= 0 && s->to_input.size > 0) {
                n = write(fd, s->to_input.data, s->to_input.size);
                if (n < 0 && (errno == EAGAIN || errno == EINTR))
                        return;
                /* A command that does not want its input is no error. */
                if (n < 0)
                        buf_reset(&s->to_input);
                else
                        buf_consume(&s->to_input, (size_t)n);
        }
        if (fd < 0)
                buf_reset(&s->to_input);
        if (s->to_input.size > 0 || !s->input_ends)
                return;
        if (s->attached && fd >= 0)
                (void)shutdown(fd, SHUT_WR);
        file_close(&s->input);
}

static void finish_maybe(struct stream_session *s) {
        const uint8_t code[4] = {0, 0, 0, (uint8_t)s->exit_code};

        if ((s->exited || s->attached) && s->output.fd < 0 && s->error.fd < 0)
                session_end(s, STREAM_EXIT, code, sizeof(code));
}

static void read_output(struct stream_session *s, struct stream_file *f, bool is_stderr) {
        char data[STREAM_PIECE];
        size_t room = MIN(session_room(s), sizeof(data));
        ssize_t n;

        if (room == 0 || f->fd < 0)
                return;
        n = read(f->fd, data, room);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                if (session_output(s, is_stderr ? STREAM_STDERR : STREAM_STDOUT, 0, data,
                                    (size_t)n) < 0)
                        session_fail(s, "out of memory");
                return;
        }
        file_close(f);
        finish_maybe(s);
}

static int on_file(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream_session *s = userdata;

        if (revents & EPOLLOUT || source == s->input.io)
                write_input(s);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                if (source == s->output.io)
                        read_output(s, &s->output, /* is_stderr= */ false);
                else if (source == s->error.io)
                        read_output(s, &s->error, /* is_stderr= */ true);
                else if (revents & EPOLLERR)
                        file_close(&s->input); /* nobody reads it any longer */
        }
        session_update(s);
        return 0;
}

int run_begin(struct stream_session *s, const char *tty) {
        struct stream_file *const files[] = {&s->input, &s->output, &s->error};

        if (*tty)
                s->attached_tty = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        for (size_t i = 0; i < ELEMENTS(files); i++) {
                int r = files[i]->fd >= 0 ? sd_event_add_io(s->event, &files[i]->io, files[i]->fd,
                                                            EPOLLIN, on_file, s)
                                          : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

void run_update(struct stream_session *s) {
        bool room = session_room(s) > 0, writes = s->to_input.size > 0;

        if (s->input.io)
                watch_file(s->input.io, /* reads= */ false, writes);
        if (s->output.io)
                watch_file(s->output.io, room, writes && (s->tty || s->attached));
        if (s->error.io)
                watch_file(s->error.io, room, /* writes= */ false);
}

static int take_resize(struct stream_session *s, const struct stream_frame *f) {
        const struct winsize size = {
                        .ws_col = stream_frame_u16(f, 0), .ws_row = stream_frame_u16(f, 2)};

        if (f->size != 4)
                return -EBADMSG;
        if (s->attached)
                (void)ioctl(s->attached_tty, TIOCSWINSZ, &size);
        else if (s->tty && s->output.fd >= 0)
                (void)ioctl(s->output.fd, TIOCSWINSZ, &size);
        return 0;
}

int run_take(struct stream_session *s, const struct stream_frame *f) {
        switch (f->type) {
        case STREAM_STDIN:
                if (input_fd(s) < 0 || s->input_ends)
                        return 0;
                if (buf_append(&s->to_input, f->data, f->size) < 0)
                        return -ENOMEM;
                write_input(s);
                return 0;
        case STREAM_STDIN_END:
                s->input_ends = true;
                write_input(s);
                return 0;
        case STREAM_RESIZE:
                return take_resize(s, f);
        default:
                return -EBADMSG;
        }
}

static int on_last(sd_event_source *source, uint64_t usec, void *userdata) {
        struct stream_session *s = userdata;

        file_close(&s->output);
        file_close(&s->error);
        finish_maybe(s);
        session_update(s);
        return 0;
}

void run_exited(struct stream_session *s, int exit_code) {
        s->exited = true;
        s->exit_code = exit_code;
        finish_maybe(s);
        if (s->over)
                return;
        /* Its files end now, when systemd closes them, unless another process has them. */
        if (sd_event_add_time_relative(s->event, &s->timer, CLOCK_MONOTONIC, LAST_OUTPUT_US, 0,
                            on_last, s) < 0)
                session_fail(s, "out of memory");
}
