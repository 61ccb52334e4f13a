/* Accepts a bounded number of clients per turn of the loop, and pauses when the process has no
 * descriptors left: the pending connection would else wake it all the time. */
#include "lib/grpc-listen.h"

#include <sys/socket.h>

#include "lib/grpc-internal.h"
#include "lib/net.h"

enum { ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_US = 100000 };

struct grpc_listener {
        int fd;
        sd_event_source *io, *resume;
        struct tls_context *tls;
        char *unix_path;
        grpc_listener_func on_client;
        void *userdata;
};

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata) {
        struct grpc_listener *l = userdata;

        (void)sd_event_source_set_enabled(l->io, SD_EVENT_ON);
        return 0;
}

static void pause_accepting(struct grpc_listener *l) {
        (void)sd_event_source_set_enabled(l->io, SD_EVENT_OFF);
        (void)sd_event_source_set_time_relative(l->resume, ACCEPT_PAUSE_US);
        (void)sd_event_source_set_enabled(l->resume, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct grpc_listener *l = userdata;

        if (l->tls)
                (void)tls_context_refresh(&l->tls);
        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (client >= 0)
                        l->on_client(l->userdata, client, l->tls, l->unix_path);
                else if (errno == EAGAIN)
                        break;
                else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                                errno == ENOMEM) {
                        pause_accepting(l);
                        break;
                }
        }
        return 0;
}

struct grpc_listener *grpc_listener_free(struct grpc_listener *l) {
        if (!l)
                return NULL;
        sd_event_source_disable_unref(l->io);
        sd_event_source_disable_unref(l->resume);
        safe_close(l->fd);
        if (l->unix_path)
                (void)unlink(l->unix_path);
        tls_context_free(l->tls);
        free(l->unix_path);
        return mfree(l);
}

/* The socket itself, and its file's name. */
static int listen_on(struct grpc_listener *l, const struct grpc_endpoint *e, unsigned unix_mode,
                struct problem *p) {
        int r;

        if (!e->unix_path)
                return net_listen_tcp(&l->fd, streq(e->host, "localhost") ? "127.0.0.1" : e->host,
                                e->port, p);
        r = net_listen_unix(&l->fd, e->unix_path, unix_mode, p);
        if (r < 0)
                return r;
        l->unix_path = strdup(e->unix_path);
        return l->unix_path ? 0 : -ENOMEM;
}

static int start(struct grpc_listener *l, sd_event *event, const struct grpc_endpoint *e,
                const struct grpc_listener_options *options, struct problem *p) {
        int r;

        if (e->tls) {
                if (!options->tls)
                        return problem_set(p, EINVAL, 0, NULL, "%s needs a certificate and a key",
                                        options->url);
                r = tls_context_new(&l->tls, options->tls, true, p);
                if (r < 0)
                        return r;
        }
        r = listen_on(l, e, options->unix_mode, p);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &l->io, l->fd, EPOLLIN, on_accept, l);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(event, &l->resume, CLOCK_MONOTONIC, 0, 0, on_resume, l);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(l->resume, SD_EVENT_OFF);
        return r < 0 ? r : 0;
}

int grpc_listener_new(struct grpc_listener **ret, sd_event *event,
                const struct grpc_listener_options *options, struct problem *p) {
        _cleanup_(grpc_listener_freep) struct grpc_listener *l = calloc(1, sizeof(*l));
        struct grpc_endpoint e;
        int r;

        if (!l)
                return -ENOMEM;
        assert(options->on_client);
        l->fd = -EBADF;
        l->on_client = options->on_client;
        l->userdata = options->userdata;
        r = grpc_endpoint_parse(&e, options->url, p);
        if (r < 0)
                return r;
        r = start(l, event, &e, options, p);
        grpc_endpoint_done(&e);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(l);
        return 0;
}

uint16_t grpc_listener_port(const struct grpc_listener *l) {
        return net_port(l->fd);
}
