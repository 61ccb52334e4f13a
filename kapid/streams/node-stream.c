/* The thread has one end of a pair of sockets and carries bytes between it and the node; it closes
 * its end when it exits. Only then are its results read, and it is joined. */
#include "kapid/streams/node-stream.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/log.h"

#define NODE_COMMAND "stream"

enum { READ_SIZE = 32 << 10 };

struct node_stream {
        struct api *api;
        const struct node_stream_events *events;
        void *userdata;
        bool released; /* nobody has the handle */
        bool paused, parsing, ended;
        int fd;
        sd_event_source *io, *soon;
        struct buf in, out;
        pthread_t thread;
        /* the thread's */
        int thread_fd;
        atomic_bool stop;
        struct node_target target;
        struct problem problem;
        struct buf errors;
        int status, failure;
};

static struct node_stream *node_stream_free(struct node_stream *n) {
        if (!n)
                return NULL;
        sd_event_source_disable_unref(n->io);
        sd_event_source_disable_unref(n->soon);
        safe_close(n->fd);
        safe_close(n->thread_fd);
        buf_done(&n->in);
        buf_done(&n->out);
        buf_done(&n->errors);
        node_target_done(&n->target);
        problem_done(&n->problem);
        return mfree(n);
}
DEFINE_CLEANUP(struct node_stream *, node_stream_free);

/* --- in the thread --- */

static int carry(struct node_stream *n) {
        _cleanup_(ssh_conn_freep) struct ssh_conn *c = NULL;
        int r = node_target_open(&n->target, &c, &n->problem);

        if (r < 0)
                return r;
        if (atomic_load(&n->stop))
                return -ECANCELED;
        return ssh_conn_relay(c, NODE_COMMAND, n->thread_fd, &n->errors, &n->status, &n->problem);
}

static void *run(void *userdata) {
        struct node_stream *n = userdata;

        n->failure = carry(n);
        n->thread_fd = safe_close(n->thread_fd);
        return NULL;
}

/* --- in the loop --- */

static void watch(struct node_stream *n) {
        uint32_t events = (n->paused && !n->released ? 0 : EPOLLIN) |
                          (n->out.size > 0 && !n->released ? EPOLLOUT : 0);

        /* Without events a closed socket would still be reported, again and again. */
        (void)sd_event_source_set_io_events(n->io, events);
        (void)sd_event_source_set_enabled(
                        n->io, n->ended || events == 0 ? SD_EVENT_OFF : SD_EVENT_ON);
}

/* The thread has ended and all that it brought was taken. */
static void finish(struct node_stream *n) {
        _cleanup_(node_stream_freep) _unused_ struct node_stream *mine = n;
        const char *why;

        pthread_join(n->thread, NULL);
        n->api->node_streams--;
        while (n->errors.size > 0 && n->errors.data[n->errors.size - 1] == '\n')
                n->errors.data[--n->errors.size] = 0;
        why = n->problem.message   ? n->problem.message
              : n->errors.size > 0 ? n->errors.data
              : n->failure < 0     ? strerror(-n->failure)
                                   : "";
        if (n->released)
                return;
        n->events->on_end(n->failure, why, n->userdata);
}

/* Passes whole frames on, until it is paused. -EBADMSG. */
static int pass_frames(struct node_stream *n) {
        size_t at = 0;
        int r = 0;

        n->parsing = true;
        while (!n->paused && !n->released && at < n->in.size) {
                struct stream_frame f = {0};
                size_t used = 0;

                r = stream_frame_next(n->in.data + at, n->in.size - at, &f, &used);
                if (r <= 0)
                        break;
                at += used;
                r = n->events->on_frame(&f, n->userdata);
                if (r < 0)
                        break;
        }
        n->parsing = false;
        if (!n->released) /* else it is empty already */
                buf_consume(&n->in, at);
        return MIN(r, 0);
}

/* May end it. */
static void proceed(struct node_stream *n) {
        int r = n->released ? 0 : pass_frames(n);

        if (r < 0 && !n->released) {
                const struct node_stream_events *events = n->events;
                void *userdata = n->userdata;

                node_stream_end(n);
                events->on_end(r, "the node's answer cannot be understood", userdata);
                return;
        }
        if (n->ended && (n->released || !n->paused))
                finish(n);
        else
                watch(n);
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct node_stream *n = userdata;

        n->soon = sd_event_source_disable_unref(n->soon);
        proceed(n);
        return 0;
}

static void write_out(struct node_stream *n) {
        ssize_t k;

        if (n->out.size == 0 || n->released)
                return;
        k = send(n->fd, n->out.data, n->out.size, MSG_NOSIGNAL);
        if (k <= 0)
                return; /* the thread's end is seen by reading */
        buf_consume(&n->out, (size_t)k);
        if (n->out.size == 0)
                n->events->on_drained(n->userdata);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct node_stream *n = userdata;
        char data[READ_SIZE];
        ssize_t k;

        if (revents & EPOLLOUT)
                write_out(n);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
                k = read(fd, data, sizeof(data));
                if (k > 0 && !n->released)
                        (void)buf_append(&n->in, data, (size_t)k);
                if (k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR) || n->in.failed)
                        n->ended = true;
        }
        proceed(n);
        return 0;
}

static int start_thread(struct node_stream *n) {
        sigset_t all, before;
        int r;

        sigfillset(&all); /* signals are the loop's */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        r = pthread_create(&n->thread, NULL, run, n);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        return -r;
}

int node_stream_new(struct node_stream **ret, struct api *api, struct node_target *target,
                const struct node_stream_events *events, void *userdata, struct problem *p) {
        _cleanup_(node_stream_freep) struct node_stream *n = NULL;
        int fds[2], r;

        if (api->node_streams >= NODE_STREAMS_MAX) {
                problem_set(p, EBUSY, 429, "TooManyRequests",
                                "too many streams to nodes are open at this server");
                p->retry_after_s = 5;
                return -EBUSY;
        }
        n = calloc(1, sizeof(*n));
        if (!n)
                return -ENOMEM;
        n->fd = n->thread_fd = -EBADF;
        n->api = api;
        n->events = events;
        n->userdata = userdata;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
                return -errno;
        n->fd = fds[0];
        n->thread_fd = fds[1];
        n->target = *target;
        *target = (struct node_target){0};
        r = sd_event_add_io(api->event, &n->io, n->fd, EPOLLIN, on_io, n);
        if (r < 0)
                return r;
        r = start_thread(n);
        if (r < 0)
                return r;
        api->node_streams++;
        *ret = TAKE_PTR(n);
        return 0;
}

int node_stream_send(struct node_stream *n, enum stream_frame_type type, uint32_t id,
                const void *data, size_t size) {
        const char *p = data;

        do {
                size_t part = MIN(size, (size_t)STREAM_PIECE);
                int r = stream_frame_append(&n->out, type, id, p, part);

                if (r < 0)
                        return r;
                p = part > 0 ? p + part : p;
                size -= part;
        } while (size > 0);
        watch(n);
        return 0;
}

int node_stream_send_u32(
                struct node_stream *n, enum stream_frame_type type, uint32_t id, uint32_t v) {
        int r = stream_frame_append_u32(&n->out, type, id, v);

        watch(n);
        return r;
}

int node_stream_send_request(struct node_stream *n, const char *text) {
        int r = stream_frame_append(&n->out, STREAM_REQUEST, 0, text, strlen(text));

        watch(n);
        return r;
}

size_t node_stream_queued(const struct node_stream *n) {
        return n->out.size;
}

void node_stream_pause(struct node_stream *n, bool paused) {
        if (n->paused == paused)
                return;
        n->paused = paused;
        watch(n);
        /* Frames that are here already: not from inside of the caller's own callback. */
        if (!paused && !n->parsing && !n->soon &&
                        sd_event_add_defer(n->api->event, &n->soon, on_soon, n) < 0)
                n->soon = NULL;
}

void node_stream_end(struct node_stream *n) {
        if (!n)
                return;
        n->released = true;
        atomic_store(&n->stop, true);
        buf_reset(&n->in);
        buf_reset(&n->out);
        (void)shutdown(n->fd, SHUT_WR);
        watch(n);
        /* The thread may have ended already. */
        if (n->ended && !n->soon && sd_event_add_defer(n->api->event, &n->soon, on_soon, n) < 0)
                n->soon = NULL;
}
