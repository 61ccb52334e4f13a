/* kctl port-forward: a listener for each port; each connection has a stream of its own, so that
 * none waits for another. */
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "kctl/remote.h"
#include "lib/client/stream.h"
#include "lib/net.h"

enum { READ_SIZE = 16 << 10, QUEUE_HIGH = 256 << 10, CONNECTIONS_MAX = 128 };
enum { CHANNEL_DATA = 0, CHANNEL_ERROR = 1, PORT_SIZE = 2 };

struct forwarder {
        struct kctl *kctl;
        sd_event *event;
        struct kubeconfig_context credentials;
        char *ns, *pod;
        LIST_HEAD(, tunnel) tunnels;
        size_t count;
        bool lost; /* the pod or the server is gone */
};

struct listener {
        struct forwarder *forwarder;
        int fd;
        sd_event_source *io;
        uint16_t remote;
};

/* One connection. */
struct tunnel {
        struct forwarder *forwarder;
        LIST_ENTRY(tunnel) entry;
        int fd;
        uint16_t remote;
        sd_event_source *io, *end;
        struct api_stream *stream;
        struct buf out; /* to the local client */
        size_t skip[2]; /* bytes of the port that begin each channel */
        struct buf why;
        bool local_ended, pod_ended;
};

static struct tunnel *tunnel_free(struct tunnel *t) {
        LIST_REMOVE(t, entry);
        t->forwarder->count--;
        sd_event_source_disable_unref(t->io);
        sd_event_source_disable_unref(t->end);
        api_stream_free(t->stream);
        safe_close(t->fd);
        buf_done(&t->out);
        buf_done(&t->why);
        free(t);
        return NULL;
}

static void update(struct tunnel *t) {
        bool reads = !t->local_ended && api_stream_queued(t->stream) < QUEUE_HIGH;
        uint32_t events = (reads ? EPOLLIN : 0) | (t->out.size > 0 ? EPOLLOUT : 0);

        api_stream_pause(t->stream, t->out.size > QUEUE_HIGH);
        (void)sd_event_source_set_io_events(t->io, events);
        (void)sd_event_source_set_enabled(t->io, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_over(sd_event_source *source, void *userdata) {
        struct tunnel *t = userdata;

        if (t->why.size > 0)
                fprintf(stderr, "An error occurred forwarding to port %u: %s\n", t->remote,
                                t->why.data);
        tunnel_free(t);
        return 0;
}

/* Not from inside of the stream's callbacks. */
static void over(struct tunnel *t) {
        if (!t->end && sd_event_add_defer(t->forwarder->event, &t->end, on_over, t) < 0)
                t->end = NULL;
}

static void write_local(struct tunnel *t) {
        ssize_t n = t->out.size > 0 ? send(t->fd, t->out.data, t->out.size, MSG_NOSIGNAL) : 0;

        if (n < 0 && errno != EAGAIN && errno != EINTR)
                over(t);
        if (n > 0)
                buf_consume(&t->out, (size_t)n);
        if (t->out.size == 0 && t->pod_ended) {
                (void)shutdown(t->fd, SHUT_WR);
                if (t->local_ended)
                        over(t);
        }
}

static void read_local(struct tunnel *t) {
        char data[READ_SIZE];
        ssize_t n = read(t->fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                (void)api_stream_send(t->stream, CHANNEL_DATA, data, (size_t)n);
                return;
        }
        t->local_ended = true;
        if (n < 0 || t->pod_ended || api_stream_end_channel(t->stream, CHANNEL_DATA) < 0)
                over(t);
}

static int on_local(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct tunnel *t = userdata;

        if (revents & EPOLLOUT)
                write_local(t);
        if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR) && !t->local_ended)
                read_local(t);
        update(t);
        return 0;
}

static int on_data(unsigned channel, const void *data, size_t n, void *userdata) {
        struct tunnel *t = userdata;
        const char *p = data;
        size_t skip;
        int r;

        if (channel > CHANNEL_ERROR)
                return 0;
        skip = MIN(t->skip[channel], n);
        t->skip[channel] -= skip;
        p += skip;
        n -= skip;
        if (n == 0)
                return 0;
        if (channel == CHANNEL_ERROR)
                return buf_append(&t->why, p, MIN(n, (size_t)1024));
        r = buf_append(&t->out, p, n);
        write_local(t);
        update(t);
        return r;
}

static int on_channel_end(unsigned channel, void *userdata) {
        struct tunnel *t = userdata;

        if (channel != CHANNEL_DATA)
                return 0;
        t->pod_ended = true;
        write_local(t);
        return 0;
}

static void on_drained(void *userdata) {
        update(userdata);
}

static void on_end(int error, void *userdata) {
        struct tunnel *t = userdata;

        t->pod_ended = true;
        write_local(t);
        over(t);
}

static const struct api_stream_events events = {.on_data = on_data,
                .on_channel_end = on_channel_end,
                .on_drained = on_drained,
                .on_end = on_end};

static int open_stream(struct tunnel *t, struct problem *p) {
        char query[32];
        _cleanup_free_ char *path = NULL;

        snprintf(query, sizeof(query), "ports=%u", t->remote);
        path = stream_path(t->forwarder->ns, t->forwarder->pod, "portforward", query);
        if (!path)
                return -ENOMEM;
        return api_stream_new(&t->stream, t->forwarder->event, &t->forwarder->credentials, path,
                        &events, t, p);
}

static int tunnel_begin(struct tunnel *t, struct problem *p) {
        int r = open_stream(t, p);

        if (r < 0)
                return r;
        return sd_event_add_io(t->forwarder->event, &t->io, t->fd, EPOLLIN, on_local, t);
}

/* Takes fd. */
static int tunnel_new(struct forwarder *f, int fd, uint16_t remote, struct problem *p) {
        struct tunnel *t = calloc(1, sizeof(*t));
        int r;

        if (!t) {
                safe_close(fd);
                return -ENOMEM;
        }
        t->forwarder = f;
        t->fd = fd;
        t->remote = remote;
        t->skip[0] = t->skip[1] = PORT_SIZE;
        LIST_INSERT_HEAD(&f->tunnels, t, entry);
        f->count++;
        r = tunnel_begin(t, p);
        if (r < 0)
                tunnel_free(t);
        return MIN(r, 0);
}

static int on_connection(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct listener *l = userdata;
        struct forwarder *f = l->forwarder;
        _cleanup_problem_ struct problem p = {0};
        int one = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), r;

        if (one < 0)
                return 0;
        if (f->count >= CONNECTIONS_MAX) {
                safe_close(one);
                return 0;
        }
        net_tune(one);
        printf("Handling connection for port %u\n", l->remote);
        r = tunnel_new(f, one, l->remote, &p);
        if (r < 0) {
                (void)kctl_fail(&p);
                f->lost = p.code == 404;
        }
        return f->lost ? sd_event_exit(f->event, 0) : 0;
}

static int listen_one(struct forwarder *f, const char *address, const char *word,
                struct listener *ret, struct problem *p) {
        uint16_t local = 0;
        int r = port_pair_parse(word, &local, &ret->remote, p);

        if (r < 0)
                return r;
        ret->forwarder = f;
        r = net_listen_tcp(&ret->fd, address, local, p);
        if (r < 0)
                return r;
        r = sd_event_add_io(f->event, &ret->io, ret->fd, EPOLLIN, on_connection, ret);
        if (r < 0)
                return r;
        printf("Forwarding from %s:%u -> %u\n", address, net_port(ret->fd), ret->remote);
        return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int add_signals(struct forwarder *f) {
        static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
        sigset_t set;

        sigemptyset(&set);
        for (size_t i = 0; i < ELEMENTS(ends); i++)
                sigaddset(&set, ends[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                int r = sd_event_add_signal(f->event, NULL, ends[i], on_signal, f);

                if (r < 0)
                        return r;
        }
        return 0;
}

/* The pod must be there, before anything listens. */
static int check_pod(struct forwarder *f, struct problem *p) {
        _cleanup_free_ char *path = stream_path(f->ns, f->pod, NULL, NULL);
        _cleanup_json_ json_t *pod = NULL;
        int r = path ? api_get(f->kctl->client, path, &pod, p) : -ENOMEM;

        if (r < 0)
                return r;
        if (!streq(json_str_or(pod, "status.phase", ""), "Running"))
                return problem_set(p, EINVAL, 0, NULL, "pod %s is not running: its phase is %s",
                                f->pod, json_str_or(pod, "status.phase", "Pending"));
        return 0;
}

static int forward(struct forwarder *f, struct listener *listeners, struct problem *p) {
        struct kctl *k = f->kctl;
        const char *address = k->flags.address ? k->flags.address : "127.0.0.1";
        int r = pod_of_word(k, k->words[0], &f->ns, &f->pod, p);

        if (r < 0)
                return r;
        r = check_pod(f, p);
        if (r < 0)
                return r;
        r = stream_credentials(k, &f->credentials, p);
        if (r < 0)
                return r;
        r = add_signals(f);
        if (r < 0)
                return r;
        for (size_t i = 1; k->words[i]; i++) {
                r = listen_one(f, address, k->words[i], &listeners[i - 1], p);
                if (r < 0)
                        return r;
        }
        (void)fflush(stdout);
        r = sd_event_loop(f->event);
        return MIN(r, 0);
}

static void forwarder_done(struct forwarder *f) {
        while (!LIST_EMPTY(&f->tunnels))
                tunnel_free(LIST_FIRST(&f->tunnels));
        kubeconfig_context_done(&f->credentials);
        sd_event_unref(f->event);
        free(f->ns);
        free(f->pod);
}

int kctl_port_forward(struct kctl *k) {
        _cleanup_(forwarder_done) struct forwarder f = {.kctl = k};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ struct listener *listeners = NULL;
        size_t n = strv_length(k->words);
        int r;

        if (n < 2)
                return kctl_usage(k, "which pod, and which ports? kctl port-forward POD 8080:80");
        if (!kctl_client(k))
                return EXIT_ERROR;
        listeners = calloc(n - 1, sizeof(*listeners));
        if (!listeners || sd_event_new(&f.event) < 0)
                return kctl_error("out of memory");
        for (size_t i = 0; i < n - 1; i++)
                listeners[i].fd = -EBADF;
        r = forward(&f, listeners, &p);
        for (size_t i = 0; i < n - 1; i++) {
                sd_event_source_disable_unref(listeners[i].io);
                safe_close(listeners[i].fd);
        }
        if (r < 0)
                return kctl_fail(&p);
        return f.lost ? EXIT_ERROR : EXIT_OK;
}
