/* A connection is a session: one request, one command. Bytes of the command never come here: its
 * files are the session's. */
#include "nodeagent/streams/server.h"

#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/net.h"
#include "nodeagent/logs/log-sockets.h"
#include "nodeagent/pod/pods.h"
#include "nodeagent/streams/stream-protocol.h"

enum { SESSIONS_MAX = 256, ACCEPT_PER_TURN = 16 };

struct session {
        struct stream_server *server;
        LIST_ENTRY(session) entry;
        int fd;
        sd_event_source *io;
        struct buf in;
        int files[STREAM_FILES_MAX];
        size_t file_count;
        bool asked;
        struct pod_stream *run;
};

struct stream_server {
        struct agent *agent;
        int fd;
        sd_event_source *io;
        LIST_HEAD(, session) sessions;
        size_t count;
};

static struct session *session_free(struct session *s) {
        if (!s)
                return NULL;
        LIST_REMOVE(s, entry);
        s->server->count--;
        pod_stream_cancel(s->run);
        sd_event_source_disable_unref(s->io);
        safe_close(s->fd);
        for (size_t i = 0; i < s->file_count; i++)
                safe_close(s->files[i]);
        buf_done(&s->in);
        return mfree(s);
}

/* Lines are short and few: they fit into an empty socket. */
static int say(struct session *s, json_t *line) {
        _cleanup_free_ char *text = line ? json_text(line) : NULL;
        _cleanup_free_ char *ended = text ? strformat("%s\n", text) : NULL;

        json_decref(line);
        if (!ended)
                return -ENOMEM;
        return send(s->fd, ended, strlen(ended), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

static void on_done(int exit_code, const char *message, void *userdata) {
        struct session *s = userdata;

        s->run = NULL;
        (void)say(s, exit_code >= 0 ? json_pack("{si}", "exit", exit_code)
                                    : json_pack("{ss}", "failed", message));
        session_free(s);
}

/* Which of the passed files is meant; -EBADF: none. */
static int file_named(const struct session *s, const json_t *request, const char *name) {
        const json_t *names = json_at(request, "files"), *v;
        size_t i;

        json_array_foreach (names, i, v)
                if (i < s->file_count && streq(strempty(json_string_value(v)), name))
                        return s->files[i];
        return -EBADF;
}

static int start_exec(struct session *s, const json_t *request, const struct pod_target *target,
                struct problem *p) {
        const struct pod_stream_options o = {.command = json_at(request, "command"),
                        .tty = json_bool_or(request, "tty", false),
                        .fds = {file_named(s, request, "stdin"), file_named(s, request, "stdout"),
                                        file_named(s, request, "stderr")},
                        .done = on_done,
                        .userdata = s};
        int r = pods_stream_start(s->server->agent->pods, target, &o, &s->run, p);

        return r < 0 ? r : say(s, json_pack("{sb}", "ready", 1));
}

static int answer_netns(struct session *s, const struct pod_target *target, struct problem *p) {
        struct pod_network network = {0};
        int r = pods_netns(s->server->agent->pods, target, &network, p);

        return r < 0 ? r
                     : say(s, json_pack("{sb, ss, ss}", "ready", 1, "netns", network.netns,
                                              "folder", network.folder));
}

static int answer_addresses(struct session *s, const struct pod_target *target, struct problem *p) {
        struct pod_network network = {0};
        int r = pods_netns(s->server->agent->pods, target, &network, p);
        json_t *addresses;

        if (r < 0)
                return r;
        if (isempty(network.ip))
                return problem_set(p, ENOENT, 400, "BadRequest", "pod \"%s\" has no address",
                                target->pod);
        addresses = json_pack(*network.ip6 ? "[s, s]" : "[s]", network.ip, network.ip6);
        return say(s, json_pack("{sb, ss, ss, so}", "ready", 1, "netns", network.netns, "folder",
                                      network.folder, "addresses", addresses));
}

static int attach(struct session *s, const json_t *request, const struct pod_target *target,
                struct problem *p) {
        int fd = file_named(s, request, "socket"), r;
        const char *tty = NULL;

        if (fd < 0)
                return -EINVAL;
        r = pods_attach(s->server->agent->pods, target, fd, &tty, p);
        return r < 0 ? r : say(s, json_pack("{sb, ss}", "ready", 1, "tty", strempty(tty)));
}

static int serve(struct session *s, const json_t *request, struct problem *p) {
        const struct pod_target target = {.ns = json_str_or(request, "namespace", ""),
                        .pod = json_str_or(request, "pod", ""),
                        .uid = json_str_or(request, "uid", ""),
                        .container = json_str_or(request, "container", "")};
        const char *verb = json_str_or(request, "verb", "");

        if (streq(verb, "exec"))
                return start_exec(s, request, &target, p);
        if (streq(verb, "attach"))
                return attach(s, request, &target, p);
        if (streq(verb, "portforward"))
                return answer_netns(s, &target, p);
        if (streq(verb, "proxy"))
                return answer_addresses(s, &target, p);
        if (streq(verb, "node"))
                return say(s, json_pack("{sb, ss, ss}", "ready", 1, "netns", "", "socket",
                                              NODE_API_SOCKET));
        return problem_set(p, EINVAL, 400, "BadRequest",
                        "this node cannot do \"%.32s\": its agent "
                        "is older than the server",
                        verb);
}

/* -errno ends the session. */
static int take_request(struct session *s, size_t size) {
        _cleanup_json_ json_t *request = NULL;
        _cleanup_problem_ struct problem p = {0};
        int r = json_parse(s->in.data, size, 0, &request, NULL);

        if (r < 0)
                return r;
        s->asked = true;
        r = serve(s, request, &p);
        for (size_t i = 0; i < s->file_count; i++)
                safe_close(s->files[i]);
        s->file_count = 0;
        if (r < 0)
                (void)say(s, json_pack("{s{si, ss}}", "refused", "code", p.code ? p.code : 500,
                                             "message", p.message ? p.message : strerror(-r)));
        return r;
}

/* Returns what recvmsg() does; passed files are kept. */
static ssize_t receive(struct session *s, char *data, size_t n) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(STREAM_FILES_MAX * sizeof(int))];
        } control;
        struct iovec v = {data, n};
        struct msghdr m = {.msg_iov = &v,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = sizeof(control)};
        ssize_t k = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

        if (k <= 0)
                return k;
        for (struct cmsghdr *h = CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h)) {
                size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

                if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
                        continue;
                for (size_t i = 0; i < count; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(fd));
                        if (s->file_count < STREAM_FILES_MAX)
                                s->files[s->file_count++] = fd;
                        else
                                safe_close(fd);
                }
        }
        return k;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct session *s = userdata;
        char data[4096];
        ssize_t n = receive(s, data, sizeof(data));
        const char *end;

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n <= 0 || s->asked || s->in.size + (size_t)n > STREAM_LINE_MAX ||
                        buf_append(&s->in, data, (size_t)n) < 0) {
                session_free(s);
                return 0;
        }
        end = memchr(s->in.data, '\n', s->in.size);
        if (end && take_request(s, (size_t)(end - s->in.data)) < 0)
                session_free(s);
        return 0;
}

static bool is_root(int fd) {
        struct ucred cred = {0};
        socklen_t n = sizeof(cred);

        return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0 && cred.uid == 0;
}

/* Takes fd. */
static void session_new(struct stream_server *server, int fd) {
        struct session *s = NULL;

        if (server->count >= SESSIONS_MAX || !is_root(fd) || !(s = calloc(1, sizeof(*s)))) {
                safe_close(fd);
                return;
        }
        s->server = server;
        s->fd = fd;
        LIST_INSERT_HEAD(&server->sessions, s, entry);
        server->count++;
        if (sd_event_add_io(server->agent->event, &s->io, fd, EPOLLIN, on_io, s) < 0)
                session_free(s);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        for (unsigned i = 0; i < ACCEPT_PER_TURN; i++) {
                int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

                if (one < 0)
                        return 0;
                session_new(userdata, one);
        }
        return 0;
}

int stream_server_new(struct stream_server **ret, struct agent *a, struct problem *p) {
        _cleanup_(stream_server_freep) struct stream_server *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->agent = a;
        s->fd = -EBADF;
        LIST_INIT(&s->sessions);
        r = net_listen_unix(&s->fd, STREAM_SOCKET, 0600, p);
        if (r < 0)
                return r;
        r = sd_event_add_io(a->event, &s->io, s->fd, EPOLLIN, on_connection, s);
        if (r < 0)
                return r;
        r = runtime_stream_sweep(a->runtime);
        if (r < 0)
                log_warning_errno(r, "Cannot look for commands that an earlier agent has left");
        *ret = TAKE_PTR(s);
        return 0;
}

struct stream_server *stream_server_free(struct stream_server *s) {
        if (!s)
                return NULL;
        while (!LIST_EMPTY(&s->sessions))
                session_free(LIST_FIRST(&s->sessions));
        sd_event_source_disable_unref(s->io);
        safe_close(s->fd);
        return mfree(s);
}
