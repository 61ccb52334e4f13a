/* Connections to ports of a pod: this process is in the pod's network namespace. port-forward goes
 * to 127.0.0.1, then ::1; proxy to the pod's own addresses, so that what listens on the loopback
 * address alone is not reached; node to a socket of the agent. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "nodeagent/streams/session-internal.h"

static struct forward *forward_find(struct stream_session *s, uint32_t id) {
        struct forward *f;

        LIST_FOREACH(f, &s->forwards, entry)
        if (f->id == id)
                return f;
        return NULL;
}

static void forward_free(struct forward *f) {
        LIST_REMOVE(f, entry);
        f->session->forward_count--;
        sd_event_source_disable_unref(f->io);
        safe_close(f->fd);
        buf_done(&f->out);
        free(f);
}

void forward_done(struct stream_session *s) {
        while (!LIST_EMPTY(&s->forwards))
                forward_free(LIST_FIRST(&s->forwards));
}

/* Over, both ways; kapid passes the sentence on. */
static int forward_fail(struct forward *f, int error) {
        struct stream_session *s = f->session;
        char why[160];
        int n = s->socket ? snprintf(why, sizeof(why), "cannot connect to the node's agent: %s",
                                            strerror(error))
                          : snprintf(why, sizeof(why), "cannot connect to port %u in the pod: %s%s",
                                            f->port, strerror(error),
                                            error != ECONNREFUSED ? ""
                                            : s->addresses ? " (nothing listens there on the "
                                                             "pod's address)"
                                                           : " (nothing listens there on the "
                                                             "loopback address)");
        uint32_t id = f->id;

        forward_free(f);
        return stream_frame_append(&s->out, STREAM_RESET, id, why, (size_t)n);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata);

union address {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
};

/* The size of the address that is to be tried; -EINVAL: it is none. */
static int address_of(const struct forward *f, union address *ret) {
        const struct stream_session *s = f->session;
        const char *text = json_string_value(json_array_get(s->addresses, f->second));

        *ret = (union address){0};
        if (s->socket) {
                if (strlen(s->socket) >= sizeof(ret->un.sun_path))
                        return -EINVAL;
                ret->un.sun_family = AF_UNIX;
                memcpy(ret->un.sun_path, s->socket, strlen(s->socket) + 1);
                return sizeof(ret->un);
        }
        if (!s->addresses)
                text = f->second ? "::1" : "127.0.0.1";
        if (text && inet_pton(AF_INET, text, &ret->in.sin_addr) == 1) {
                ret->in.sin_family = AF_INET;
                ret->in.sin_port = htons(f->port);
                return sizeof(ret->in);
        }
        if (!text || inet_pton(AF_INET6, text, &ret->in6.sin6_addr) != 1)
                return -EINVAL;
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = htons(f->port);
        return sizeof(ret->in6);
}

static bool has_second(const struct stream_session *s) {
        return !s->socket && (!s->addresses || json_array_size(s->addresses) > 1);
}

static int forward_connect(struct forward *f) {
        union address address;
        const int on = 1;
        int r = address_of(f, &address);
        socklen_t size = (socklen_t)MAX(r, 0);

        if (r < 0)
                return r;

        f->io = sd_event_source_disable_unref(f->io);
        safe_close(f->fd);
        f->fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (f->fd < 0)
                return -errno;
        (void)setsockopt(f->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        r = connect(f->fd, &address.any, size);
        if (r < 0 && errno != EINPROGRESS)
                return -errno;
        f->connecting = true;
        return sd_event_add_io(f->session->event, &f->io, f->fd, EPOLLOUT, on_socket, f);
}

/* The first address refuses, the second may not. */
static int connect_failed(struct forward *f, int error) {
        if (!f->second && has_second(f->session)) {
                f->second = true;
                if (forward_connect(f) >= 0)
                        return 0;
        }
        return forward_fail(f, error);
}

static int open_forward(struct stream_session *s, const struct stream_frame *frame) {
        struct forward *f;
        int r;

        if (frame->size != 2 || frame->id == 0 || forward_find(s, frame->id))
                return -EBADMSG;
        if (s->forward_count >= FORWARDS_MAX) {
                static const char why[] = "too many connections are open";

                return stream_frame_append(&s->out, STREAM_RESET, frame->id, why, sizeof(why) - 1);
        }
        f = calloc(1, sizeof(*f));
        if (!f)
                return -ENOMEM;
        f->session = s;
        f->id = frame->id;
        f->port = stream_frame_u16(frame, 0);
        f->fd = -EBADF;
        LIST_INSERT_HEAD(&s->forwards, f, entry);
        s->forward_count++;
        r = forward_connect(f);
        return r < 0 ? connect_failed(f, -r) : 0;
}

static void end_maybe(struct forward *f) {
        if (f->pod_ended && f->kapid_ended && f->out.size == 0)
                forward_free(f);
}

/* Afterwards f may be gone. */
static int write_pod(struct forward *f) {
        ssize_t n;

        if (f->connecting)
                return 0;
        n = f->out.size > 0 ? send(f->fd, f->out.data, f->out.size, MSG_NOSIGNAL) : 0;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0) {
                buf_reset(&f->out); /* the pod reads no more; what it writes is still passed on */
                f->kapid_ended = true;
        } else {
                buf_consume(&f->out, (size_t)n);
        }
        if (f->out.size == 0 && f->kapid_ended)
                (void)shutdown(f->fd, SHUT_WR);
        end_maybe(f);
        return 0;
}

/* Afterwards f may be gone. */
static int read_pod(struct forward *f) {
        struct stream_session *s = f->session;
        char data[STREAM_PIECE];
        size_t room = MIN(session_room(s), sizeof(data));
        ssize_t n;
        int r;

        if (room == 0 || f->pod_ended)
                return 0;
        n = read(f->fd, data, room);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n > 0)
                return session_output(s, STREAM_DATA, f->id, data, (size_t)n);
        if (n < 0) {
                r = stream_frame_append(&s->out, STREAM_RESET, f->id, NULL, 0);
                forward_free(f);
                return r;
        }
        f->pod_ended = true;
        r = stream_frame_append(&s->out, STREAM_END, f->id, NULL, 0);
        end_maybe(f);
        return r;
}

static int connected(struct forward *f) {
        int refused = 0;
        socklen_t n = sizeof(refused);

        if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &refused, &n) < 0)
                refused = errno;
        if (refused)
                return connect_failed(f, refused);
        f->connecting = false;
        return write_pod(f);
}

static int on_socket(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct forward *f = userdata;
        struct stream_session *s = f->session;
        uint32_t id = f->id;
        int r;

        if (f->connecting) {
                r = connected(f);
        } else {
                r = revents & EPOLLOUT ? write_pod(f) : 0;
                f = forward_find(s, id);
                if (r >= 0 && f && revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
                        r = read_pod(f);
        }
        if (r < 0)
                session_fail(s, strerror(-r));
        session_update(s);
        return 0;
}

int forward_take(struct stream_session *s, const struct stream_frame *frame) {
        struct forward *f = forward_find(s, frame->id);

        switch (frame->type) {
        case STREAM_OPEN:
                return open_forward(s, frame);
        case STREAM_DATA:
                /* Frames may still come for one that has ended here. */
                if (!f || f->kapid_ended)
                        return 0;
                if (buf_append(&f->out, frame->data, frame->size) < 0)
                        return -ENOMEM;
                return write_pod(f);
        case STREAM_END:
                if (!f)
                        return 0;
                f->kapid_ended = true;
                return write_pod(f);
        case STREAM_RESET:
                if (f)
                        forward_free(f);
                return 0;
        default:
                return -EBADMSG;
        }
}

void forward_update(struct stream_session *s) {
        bool room = session_room(s) > 0;
        struct forward *f;

        LIST_FOREACH(f, &s->forwards, entry)
        watch_file(f->io, room && !f->connecting && !f->pod_ended,
                        f->connecting || f->out.size > 0);
}

size_t forward_waiting(const struct stream_session *s) {
        const struct forward *f;
        size_t n = 0;

        LIST_FOREACH(f, &s->forwards, entry)
        n += f->out.size;
        return n;
}
