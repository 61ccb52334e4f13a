/* An exec or attach with our standard files. Standard input may be a file, which epoll does not
 * take: it is then read whenever the stream has room. In raw mode every key goes to the pod, and
 * the terminal is restored at every end that lets us run. */
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "kctl/remote.h"
#include "lib/buf.h"
#include "lib/client/stream.h"
#include "lib/object.h"

enum { READ_SIZE = 16 << 10, QUEUE_HIGH = 256 << 10, STATUS_MAX = 64 << 10 };

struct remote {
        struct kctl *kctl;
        const struct remote_options *o;
        sd_event *event;
        struct api_stream *stream;
        sd_event_source *in_io, *in_soon;
        bool in_ended, raw;
        struct termios before;
        struct buf status;
        int ended; /* how the connection has */
};

int stream_credentials(struct kctl *k, struct kubeconfig_context *ret, struct problem *p) {
        const struct kubeconfig_overrides overrides = kctl_overrides(k);
        int r = kubeconfig_load_with(ret, k->flags.kubeconfig, &overrides, p);
        char *server;

        if (r < 0 || !k->client)
                return r;
        (void)api_client_http(k->client); /* of several servers, one that answers */
        server = strdup(api_client_server(k->client));
        if (!server)
                return -ENOMEM;
        free(ret->server);
        ret->server = server;
        return 0;
}

char *stream_path(const char *ns, const char *pod, const char *subresource, const char *query) {
        return api_path(api_resource(KIND_PODS), ns, pod, subresource, query);
}

/* ---- the terminal ---- */

static void send_size(struct remote *m) {
        struct winsize size;
        char text[64];
        int n;

        if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) < 0 &&
                        ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
                return;
        n = snprintf(text, sizeof(text), "{\"Width\":%u,\"Height\":%u}", size.ws_col, size.ws_row);
        (void)api_stream_send(m->stream, API_STREAM_RESIZE, text, (size_t)n);
}

static int on_resize(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        send_size(userdata);
        return 0;
}

static int on_end_signal(
                sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        struct remote *m = userdata;

        m->ended = -EINTR;
        return sd_event_exit(m->event, 0);
}

static void make_raw(struct remote *m) {
        struct termios raw;

        if (!m->o->tty || tcgetattr(STDIN_FILENO, &m->before) < 0)
                return;
        raw = m->before;
        cfmakeraw(&raw);
        m->raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void restore(struct remote *m) {
        if (m->raw)
                (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &m->before);
        m->raw = false;
}

/* ---- input ---- */

static void watch_input(struct remote *m) {
        bool on = !m->in_ended && api_stream_queued(m->stream) < QUEUE_HIGH;

        if (m->in_io)
                (void)sd_event_source_set_enabled(m->in_io, on ? SD_EVENT_ON : SD_EVENT_OFF);
        if (m->in_soon)
                (void)sd_event_source_set_enabled(m->in_soon, on ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void read_input(struct remote *m) {
        char data[READ_SIZE];
        ssize_t n = read(m->o->in_fd, data, sizeof(data));

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n > 0) {
                (void)api_stream_send(m->stream, API_STREAM_STDIN, data, (size_t)n);
        } else {
                m->in_ended = true;
                (void)api_stream_end_channel(m->stream, API_STREAM_STDIN);
        }
        watch_input(m);
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        read_input(userdata);
        return 0;
}

static int on_input_soon(sd_event_source *source, void *userdata) {
        read_input(userdata);
        return 0;
}

static int add_input(struct remote *m) {
        int r;

        if (!m->o->input)
                return 0;
        r = sd_event_add_io(m->event, &m->in_io, m->o->in_fd, EPOLLIN, on_input, m);
        if (r != -EPERM)
                return r;
        r = sd_event_add_defer(m->event, &m->in_soon, on_input_soon, m);
        return r < 0 ? r : sd_event_source_set_enabled(m->in_soon, SD_EVENT_ON);
}

/* ---- output ---- */

/* Blocking: who reads our output slowly slows the pod, through the stream. */
static int write_all(int fd, const char *data, size_t n) {
        while (n > 0) {
                ssize_t k = write(fd, data, n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                data += k;
                n -= (size_t)k;
        }
        return 0;
}

static int show(FILE *to, const void *data, size_t n) {
        if (fwrite(data, 1, n, to) < n || fflush(to) != 0)
                return -EPIPE;
        return 0;
}

static int on_data(unsigned channel, const void *data, size_t n, void *userdata) {
        struct remote *m = userdata;

        switch (channel) {
        case API_STREAM_STDOUT:
                return m->o->out_fd >= 0 ? write_all(m->o->out_fd, data, n) : show(stdout, data, n);
        case API_STREAM_STDERR:
                return show(stderr, data, n);
        case API_STREAM_STATUS:
                return m->status.size + n > STATUS_MAX ? -E2BIG : buf_append(&m->status, data, n);
        default:
                return 0;
        }
}

static void on_drained(void *userdata) {
        watch_input(userdata);
}

static void on_end(int r, void *userdata) {
        struct remote *m = userdata;

        m->ended = r;
        (void)sd_event_exit(m->event, 0);
}

static const struct api_stream_events events = {
                .on_data = on_data, .on_drained = on_drained, .on_end = on_end};

/* ---- life ---- */

static void remote_done(struct remote *m) {
        restore(m);
        sd_event_source_disable_unref(m->in_io);
        sd_event_source_disable_unref(m->in_soon);
        api_stream_free(m->stream);
        buf_done(&m->status);
        sd_event_unref(m->event);
}

static int add_signals(struct remote *m) {
        static const int ends[] = {SIGTERM, SIGINT, SIGHUP};
        sigset_t set;
        int r;

        sigemptyset(&set);
        sigaddset(&set, SIGWINCH);
        for (size_t i = 0; i < ELEMENTS(ends); i++)
                sigaddset(&set, ends[i]);
        if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
                return -errno;
        for (size_t i = 0; i < ELEMENTS(ends); i++) {
                r = sd_event_add_signal(m->event, NULL, ends[i], on_end_signal, m);
                if (r < 0)
                        return r;
        }
        return m->o->tty ? sd_event_add_signal(m->event, NULL, SIGWINCH, on_resize, m) : 0;
}

static int connect_stream(struct remote *m, struct problem *p) {
        struct kubeconfig_context k = {0};
        int r = stream_credentials(m->kctl, &k, p);

        if (r < 0)
                return r;
        r = api_stream_new(&m->stream, m->event, &k, m->o->path, &events, m, p);
        kubeconfig_context_done(&k);
        return r;
}

static int run(struct remote *m, struct problem *p) {
        int r = sd_event_new(&m->event);

        if (r < 0)
                return r;
        r = connect_stream(m, p);
        if (r < 0)
                return r;
        r = add_signals(m);
        if (r < 0)
                return r;
        if (m->o->tty) {
                make_raw(m);
                send_size(m);
        }
        r = add_input(m);
        if (r < 0)
                return r;
        r = sd_event_loop(m->event);
        return MIN(r, 0);
}

int remote_run(struct kctl *k, const struct remote_options *o, int *ret_code, struct problem *p) {
        _cleanup_(remote_done) struct remote m = {.kctl = k, .o = o};
        bool exact = o->tty || !isatty(STDOUT_FILENO);
        int r;

        output_exact(k, exact);
        r = run(&m, p);
        restore(&m);
        output_exact(k, false);
        if (r < 0)
                return r;
        if (m.ended == -EINTR)
                return problem_set(p, EINTR, 0, NULL, "interrupted");
        return remote_status(strempty(m.status.data), m.status.size, ret_code, p);
}
