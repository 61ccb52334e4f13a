/* A client reads and writes one socket. Its input goes to a duplicate of the container's
 * connection, because epoll knows each descriptor once. At most one block of input waits. */
#include "nodeagent/logs/log-attach.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/buf.h"

enum { BLOCK_SIZE = 16 << 10 };

struct log_client {
        struct log_attached *attached; /* NULL: the run has ended */
        LIST_ENTRY(log_client) entry;
        int fd, container;
        sd_event_source *io, *container_io;
        struct buf in, out; /* to the container, to the client */
        bool once, in_ended;
};

static void client_free(struct log_client *c) {
        if (c->attached) {
                LIST_REMOVE(c, entry);
                c->attached->count--;
        }
        /* Its input ends with the first client that had it. */
        if (c->once && c->container >= 0)
                (void)shutdown(c->container, SHUT_WR);
        sd_event_source_disable_unref(c->io);
        sd_event_source_disable_unref(c->container_io);
        safe_close(c->fd);
        safe_close(c->container);
        buf_done(&c->in);
        buf_done(&c->out);
        free(c);
}

static void watch(sd_event_source *io, bool reads, bool writes) {
        uint32_t events = (reads ? EPOLLIN : 0) | (writes ? EPOLLOUT : 0);

        if (!io)
                return;
        (void)sd_event_source_set_io_events(io, events);
        (void)sd_event_source_set_enabled(io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void update(struct log_client *c) {
        watch(c->io, !c->in_ended && c->in.size == 0, c->out.size > 0);
        watch(c->container_io, false, c->in.size > 0);
}

/* No input any longer. */
static void end_input(struct log_client *c) {
        c->in_ended = true;
        buf_reset(&c->in);
        c->container_io = sd_event_source_disable_unref(c->container_io);
        if (c->once && c->container >= 0)
                (void)shutdown(c->container, SHUT_WR);
        c->container = safe_close(c->container);
}

static void write_container(struct log_client *c) {
        ssize_t n = c->in.size > 0 && c->container >= 0
                                    ? write(c->container, c->in.data, c->in.size)
                                    : 0;

        if (n > 0)
                buf_consume(&c->in, (size_t)n);
        else if (n < 0 && errno != EAGAIN && errno != EINTR)
                end_input(c);
}

static int on_container(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        struct log_client *c = userdata;

        write_container(c);
        update(c);
        return 0;
}

/* Negative: the client is gone. */
static int read_client(struct log_client *c) {
        char data[BLOCK_SIZE];
        ssize_t n = read(c->fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return 0;
        if (n < 0)
                return -errno;
        if (n == 0) {
                end_input(c);
                return 0;
        }
        if (c->container < 0)
                return 0; /* it has no input: what is sent goes nowhere */
        if (buf_append(&c->in, data, (size_t)n) < 0)
                return -ENOMEM;
        write_container(c);
        return 0;
}

static int write_client(struct log_client *c) {
        ssize_t n = c->out.size > 0 ? send(c->fd, c->out.data, c->out.size, MSG_NOSIGNAL) : 0;

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                return -errno;
        if (n > 0)
                buf_consume(&c->out, (size_t)n);
        return 0;
}

static int on_client(sd_event_source *io, int fd, uint32_t revents, void *userdata) {
        struct log_client *c = userdata;
        bool gone = write_client(c) < 0 ||
                    (revents & EPOLLIN && !c->in_ended && read_client(c) < 0);

        if (gone || revents & (EPOLLHUP | EPOLLERR) || (!c->attached && c->out.size == 0))
                client_free(c);
        else
                update(c);
        return 0;
}

static int add_input(struct log_client *c, sd_event *event, int container) {
        c->container = fcntl(container, F_DUPFD_CLOEXEC, 3);
        if (c->container < 0)
                return -errno;
        return sd_event_add_io(event, &c->container_io, c->container, 0, on_container, c);
}

static int begin(struct log_client *c, sd_event *event, int container, unsigned flags) {
        int r;

        if (fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;
        r = sd_event_add_io(event, &c->io, c->fd, EPOLLIN, on_client, c);
        if (r < 0)
                return r;
        return flags & LOG_ATTACH_INPUT ? add_input(c, event, container) : 0;
}

int log_attached_add(
                struct log_attached *a, sd_event *event, int fd, int container, unsigned flags) {
        struct log_client *c = a->count < LOG_ATTACHED_MAX ? calloc(1, sizeof(*c)) : NULL;
        int r;

        if (!c) {
                safe_close(fd);
                return a->count < LOG_ATTACHED_MAX ? -ENOMEM : -EBUSY;
        }
        c->attached = a;
        c->fd = fd;
        c->container = -EBADF;
        LIST_INSERT_HEAD(&a->clients, c, entry);
        a->count++;
        r = begin(c, event, container, flags);
        if (r < 0) {
                client_free(c);
                return r;
        }
        c->once = (flags & LOG_ATTACH_INPUT_ONCE) != 0;
        update(c);
        return 0;
}

void log_attached_output(struct log_attached *a, const void *data, size_t n) {
        struct log_client *c = LIST_FIRST(&a->clients), *next;

        for (; c; c = next) {
                next = LIST_NEXT(c, entry);
                if (c->out.size + n > LOG_ATTACHED_QUEUE_MAX || buf_append(&c->out, data, n) < 0 ||
                                write_client(c) < 0)
                        client_free(c);
                else
                        update(c);
        }
}

void log_attached_end(struct log_attached *a) {
        struct log_client *c;

        while ((c = LIST_FIRST(&a->clients))) {
                LIST_REMOVE(c, entry);
                a->count--;
                c->attached = NULL;
                end_input(c);
                if (write_client(c) < 0 || c->out.size == 0)
                        client_free(c);
                else
                        update(c);
        }
}
