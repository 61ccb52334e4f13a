/* This process lives as long as one stream. It is root and outside of the agent's sandbox, as every
 * forced command; it starts nothing itself: the agent does, with the files that are made here.
 *
 * kapid's end of standard input means that the client has gone: this process exits, its connection
 * to the agent closes, and the agent kills the command. */
#include "nodeagent/streams/session.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "nodeagent/streams/session-internal.h"
#include "nodeagent/streams/stream-protocol.h"

enum { READ_SIZE = 32 << 10, FLUSH_US = 10 * 1000 * 1000 };

size_t session_room(const struct stream_session *s) {
        if (!s->ready || s->over || s->out.size > SESSION_QUEUE_HIGH)
                return 0;
        return s->credit;
}

int session_output(struct stream_session *s, enum stream_frame_type type, uint32_t id,
                const void *data, size_t n) {
        assert(n <= s->credit);
        s->credit -= n;
        return stream_frame_append(&s->out, type, id, data, n);
}

void watch_file(sd_event_source *io, bool reads, bool writes) {
        uint32_t events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0);

        /* Without events a closed file would still be reported, again and again. */
        (void)sd_event_source_set_io_events(io, events);
        (void)sd_event_source_set_enabled(io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* What does not wait was taken, or is wanted by nobody. */
static void credit(struct stream_session *s) {
        size_t waiting = run_waiting(s) + forward_waiting(s);
        uint64_t owed = s->received - s->credited -
                        MIN((uint64_t)waiting, s->received - s->credited);

        if (owed == 0 || (owed < SESSION_CREDIT_MIN && waiting > 0) || s->over)
                return;
        s->credited += owed;
        if (stream_frame_append_u32(&s->out, STREAM_CREDIT, 0, (uint32_t)owed) < 0)
                session_fail(s, "out of memory");
}

void session_update(struct stream_session *s) {
        if (s->over && s->out.size == 0) {
                (void)sd_event_exit(s->event, 0);
                return;
        }
        credit(s);
        watch_file(s->out_io, false, s->out.size > 0);
        run_update(s);
        forward_update(s);
}

static int on_late(sd_event_source *source, uint64_t usec, void *userdata) {
        struct stream_session *s = userdata;

        return sd_event_exit(s->event, 1);
}

void session_end(
                struct stream_session *s, enum stream_frame_type type, const void *data, size_t n) {
        if (s->over)
                return;
        s->over = true;
        run_done(s);
        forward_done(s);
        if (stream_frame_append(&s->out, type, 0, data, MIN(n, (size_t)STREAM_FRAME_MAX)) < 0 ||
                        sd_event_add_time_relative(s->event, NULL, CLOCK_MONOTONIC, FLUSH_US, 0,
                                        on_late, s) < 0)
                (void)sd_event_exit(s->event, 1);
}

void session_fail(struct stream_session *s, const char *why) {
        session_end(s, STREAM_FAILED, why, strlen(why));
}

static void refuse(struct stream_session *s, int code, const char *why) {
        _cleanup_json_ json_t *v = json_pack("{si, ss}", "code", code, "message", why);
        _cleanup_free_ char *text = v ? json_text(v) : NULL;

        session_end(s, STREAM_REFUSED, strempty(text), strlen(strempty(text)));
}

/* ---- the agent ---- */

/* From here on this process sees the pod's network. */
static int enter(const char *netns) {
        _cleanup_close_ int fd = -EBADF;

        if (isempty(netns))
                return 0;
        fd = open(netns, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return setns(fd, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int on_folder_gone(
                sd_event_source *source, const struct inotify_event *event, void *userdata) {
        struct stream_session *s = userdata;

        session_fail(s, "the pod was deleted");
        session_update(s);
        return 0;
}

/* The agent may be away when the pod ends: a folder that goes with the pod says so. */
static int watch_folder(struct stream_session *s, const char *folder) {
        if (isempty(folder))
                return 0;
        return sd_event_add_inotify(s->event, /* ret= */ NULL, folder,
                        IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR, on_folder_gone, s);
}

static bool is_verb(const struct stream_session *s, const char *verb) {
        return streq(json_str_or(s->request, "verb", ""), verb);
}

/* Its streams are connections: forward.c. */
static bool forwards(const struct stream_session *s) {
        return is_verb(s, "portforward") || is_verb(s, "proxy") || is_verb(s, "node");
}

/* Where connections go. -EINVAL: the agent does not say it. */
static int take_place(struct stream_session *s, const json_t *line) {
        const char *socket = json_str(line, "socket");

        s->addresses = json_ref(json_at(line, "addresses"));
        s->socket = socket ? strdup(socket) : NULL;
        if ((is_verb(s, "proxy") && json_array_size(s->addresses) == 0) ||
                        (is_verb(s, "node") && !s->socket))
                return -EINVAL;
        return 0;
}

static void begin(struct stream_session *s, const json_t *line) {
        if (take_place(s, line) < 0) {
                refuse(s, 500, "the node's agent does not say where the server is");
                return;
        }
        if (watch_folder(s, json_str_or(line, "folder", "")) < 0 ||
                        enter(json_str_or(line, "netns", "")) < 0) {
                refuse(s, 500, "the pod's network cannot be entered");
                return;
        }
        s->ready = true;
        s->alone = !is_verb(s, "exec");
        if (stream_frame_append(&s->out, STREAM_READY, 0, NULL, 0) < 0 ||
                        run_begin(s, json_str_or(line, "tty", "")) < 0)
                session_fail(s, "out of memory");
}

static void take_line(struct stream_session *s, const char *text, size_t n) {
        _cleanup_json_ json_t *line = NULL;

        if (json_parse(text, n, 0, &line, NULL) < 0)
                session_fail(s, "the node's agent answers nonsense");
        else if (json_at(line, "refused"))
                refuse(s, (int)json_int_or(line, "refused.code", 500),
                                json_str_or(line, "refused.message", ""));
        else if (json_at(line, "exit"))
                run_exited(s, (int)json_int_or(line, "exit", 0));
        else if (json_at(line, "failed"))
                session_fail(s, json_str_or(line, "failed", ""));
        else if (!s->ready)
                begin(s, line);
}

static void take_lines(struct stream_session *s) {
        size_t at = 0;
        const char *end;

        while (at < s->agent_in.size &&
                        (end = memchr(s->agent_in.data + at, '\n', s->agent_in.size - at))) {
                take_line(s, s->agent_in.data + at, (size_t)(end - s->agent_in.data) - at);
                at = (size_t)(end - s->agent_in.data) + 1;
        }
        buf_consume(&s->agent_in, at);
}

static int on_agent(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream_session *s = userdata;
        char data[4096];
        ssize_t n = read(fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0 && s->agent_in.size + (size_t)n <= STREAM_LINE_MAX &&
                        buf_append(&s->agent_in, data, (size_t)n) >= 0) {
                take_lines(s);
        } else {
                s->agent_io = sd_event_source_disable_unref(s->agent_io);
                if (s->alone)
                        return 0;
                if (!s->exited && s->ready)
                        session_fail(s, "the node's agent was restarted; what it ran for this "
                                        "stream was ended");
                else if (!s->exited)
                        refuse(s, 500, "the node's agent ended the connection; try again");
        }
        session_update(s);
        return 0;
}

static int connect_agent(struct stream_session *s) {
        struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = STREAM_SOCKET};

        s->agent_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (s->agent_fd < 0)
                return -errno;
        if (connect(s->agent_fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return 0;
}

static int send_request(struct stream_session *s, const struct run_files *files) {
        _cleanup_free_ char *text = json_text(s->request), *line = NULL;
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(STREAM_FILES_MAX * sizeof(int))];
        } control = {0};
        struct iovec v;
        struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
        ssize_t n;

        line = text ? strformat("%s\n", text) : NULL;
        if (!line)
                return -ENOMEM;
        v = (struct iovec){line, strlen(line)};
        if (files->count > 0) {
                size_t size = files->count * sizeof(int);

                m.msg_control = &control;
                m.msg_controllen = CMSG_SPACE(size);
                control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(size),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.header), files->fds, size);
        }
        /* Blocking: the whole line goes, or the agent is gone. */
        n = sendmsg(s->agent_fd, &m, MSG_NOSIGNAL);
        while (n >= 0 && (size_t)n < v.iov_len) {
                ssize_t more = send(s->agent_fd, line + n, v.iov_len - (size_t)n, MSG_NOSIGNAL);

                n = more < 0 ? more : n + more;
        }
        if (n < 0)
                return -errno;
        return fcntl(s->agent_fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

static int name_files(struct stream_session *s, const struct run_files *files) {
        json_t *names = json_array();

        if (!names || json_object_set_new(s->request, "files", names) < 0)
                return -ENOMEM;
        for (size_t i = 0; i < files->count; i++)
                if (json_array_append_new(names, json_string(files->names[i])) < 0)
                        return -ENOMEM;
        return 0;
}

static int ask_with(struct stream_session *s, const struct run_files *files) {
        int r = name_files(s, files);

        if (r < 0)
                return r;
        r = send_request(s, files);
        if (r < 0)
                return r;
        return sd_event_add_io(s->event, &s->agent_io, s->agent_fd, EPOLLIN, on_agent, s);
}

static int open_and_ask(struct stream_session *s, struct run_files *files) {
        int r = forwards(s) ? 0 : run_open(s, files);

        return r < 0 ? r : ask_with(s, files);
}

static int ask_agent(struct stream_session *s) {
        struct run_files files = {0};
        int r = connect_agent(s);

        if (r < 0)
                return r;
        r = open_and_ask(s, &files);
        for (size_t i = 0; i < files.count; i++)
                safe_close(files.fds[i]);
        return r;
}

/* ---- kapid ---- */

static int take_request(struct stream_session *s, const struct stream_frame *f) {
        int r;

        if (s->request || json_parse((const char *)f->data, f->size, 0, &s->request, NULL) < 0)
                return -EBADMSG;
        r = ask_agent(s);
        if (r < 0)
                refuse(s, 500,
                                r == -ENOENT || r == -ECONNREFUSED
                                                ? "the node's agent does not run; systemctl status "
                                                  "keelson-nodeagent on the node says why"
                                                : strerror(-r));
        return 0;
}

static int take_frame(struct stream_session *s, const struct stream_frame *f) {
        if (s->over)
                return 0;
        if (stream_frame_is_data(f)) {
                s->received += f->size;
                if (s->received - s->credited > STREAM_WINDOW)
                        return -EBADMSG;
        }
        switch (f->type) {
        case STREAM_REQUEST:
                return take_request(s, f);
        case STREAM_CREDIT:
                s->credit = MIN(s->credit + stream_frame_u32(f), (uint64_t)STREAM_WINDOW);
                return 0;
        case STREAM_STDIN:
        case STREAM_STDIN_END:
        case STREAM_RESIZE:
                return run_take(s, f);
        default:
                return forward_take(s, f);
        }
}

static int take_frames(struct stream_session *s) {
        size_t at = 0, used = 0;
        struct stream_frame f = {0};
        int r;

        while ((r = stream_frame_next(s->in.data + at, s->in.size - at, &f, &used)) > 0) {
                at += used;
                r = take_frame(s, &f);
                if (r < 0)
                        return r;
        }
        buf_consume(&s->in, at);
        return r;
}

static int on_in(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream_session *s = userdata;
        char data[READ_SIZE];
        ssize_t n = read(fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0)
                return sd_event_exit(s->event, 0);
        if (buf_append(&s->in, data, (size_t)n) < 0 || take_frames(s) < 0)
                return sd_event_exit(s->event, 1);
        session_update(s);
        return 0;
}

static int on_out(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct stream_session *s = userdata;
        ssize_t n = write(fd, s->out.data, s->out.size);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                return sd_event_exit(s->event, 1);
        if (n > 0)
                buf_consume(&s->out, (size_t)n);
        session_update(s);
        return 0;
}

/* ---- life ---- */

static void session_done(struct stream_session *s) {
        run_done(s);
        forward_done(s);
        sd_event_source_disable_unref(s->agent_io);
        sd_event_source_disable_unref(s->in_io);
        sd_event_source_disable_unref(s->out_io);
        sd_event_source_disable_unref(s->timer);
        safe_close(s->agent_fd);
        buf_done(&s->in);
        buf_done(&s->out);
        buf_done(&s->agent_in);
        json_decref(s->request);
        json_decref(s->addresses);
        free(s->socket);
        sd_event_unref(s->event);
}

static int run_loop(struct stream_session *s) {
        int r = sd_event_new(&s->event);

        if (r < 0)
                return r;
        if (fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) < 0 ||
                        fcntl(STDOUT_FILENO, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(s->event, &s->in_io, STDIN_FILENO, EPOLLIN, on_in, s);
        if (r < 0)
                return r;
        r = sd_event_add_io(s->event, &s->out_io, STDOUT_FILENO, EPOLLOUT, on_out, s);
        if (r < 0)
                return r;
        session_update(s);
        return sd_event_loop(s->event);
}

int streams_ssh_main(void) {
        _cleanup_(session_done) struct stream_session s = {.agent_fd = -EBADF,
                        .credit = STREAM_WINDOW,
                        .input.fd = -EBADF,
                        .output.fd = -EBADF,
                        .error.fd = -EBADF,
                        .attached_tty = -EBADF};
        int r;

        LIST_INIT(&s.forwards);
        (void)signal(SIGPIPE, SIG_IGN);
        r = run_loop(&s);
        if (r < 0)
                fprintf(stderr, "cannot serve a stream: %s\n", strerror(-r));
        return r == 0 ? 0 : 1;
}
