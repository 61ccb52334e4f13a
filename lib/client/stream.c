/* One socket, TLS where the server has it. The upgrade is one request and one answer, done with
 * poll() and a deadline; everything after it is in the loop. */
#include "lib/client/stream.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/buf.h"
#include "lib/net.h"
#include "lib/timefmt.h"
#include "lib/tls.h"
#include "lib/websocket.h"

#define PROTOCOLS "v5.channel.k8s.io, v4.channel.k8s.io"

enum {
        CONNECT_US = 15 * 1000 * 1000,
        HEAD_MAX = 16 << 10,
        REFUSAL_MAX = 64 << 10,
        READ_SIZE = 16 << 10,
        PING_US = 10 * 1000 * 1000,
        CHANNEL_CLOSE = 255,
};

struct api_stream {
        sd_event *event;
        const struct api_stream_events *events;
        void *userdata;
        int fd;
        struct tls_stream *tls;
        struct websocket *websocket;
        sd_event_source *io, *timer, *soon;
        char key[WEBSOCKET_KEY_SIZE];
        uint64_t deadline_us; /* of the upgrade */
        struct buf in;        /* its answer */
        int channel;          /* of the message that comes; -1: not known */
        bool v5, paused, ended;
};

/* ---- bytes of the connection ---- */

static ssize_t raw_read(struct api_stream *s, void *p, size_t n) {
        ssize_t k;

        if (s->tls)
                return tls_stream_read(s->tls, p, n);
        k = read(s->fd, p, n);
        return k < 0 ? -errno : k;
}

static ssize_t raw_write(struct api_stream *s, const void *p, size_t n) {
        ssize_t k;

        if (s->tls)
                return tls_stream_write(s->tls, p, n);
        k = send(s->fd, p, n, MSG_NOSIGNAL);
        return k < 0 ? -errno : k;
}

static int wait_for(struct api_stream *s, short events) {
        struct pollfd p = {.fd = s->fd, .events = events};
        uint64_t now = now_mono_us();

        if (now >= s->deadline_us)
                return -ETIMEDOUT;
        if (poll(&p, 1, (int)((s->deadline_us - now) / 1000) + 1) < 0 && errno != EINTR)
                return -errno;
        return 0;
}

/* ---- connecting ---- */

static int connect_to(struct api_stream *s, const struct sockaddr *address, socklen_t size) {
        socklen_t n = sizeof(int);
        int r, error = 0;

        s->fd = safe_close(s->fd);
        s->fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (s->fd < 0)
                return -errno;
        if (connect(s->fd, address, size) == 0)
                return 0;
        if (errno != EINPROGRESS)
                return -errno;
        r = wait_for(s, POLLOUT);
        if (r < 0)
                return r;
        if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
                return -errno;
        return -error;
}

static int connect_unix(struct api_stream *s, const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);
        return connect_to(s, (const struct sockaddr *)&address, sizeof(address));
}

static int connect_host(struct api_stream *s, const char *host, const char *port) {
        const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
        struct addrinfo *list = NULL;
        int r = -EHOSTUNREACH;

        if (getaddrinfo(host, port, &hints, &list) != 0)
                return -EHOSTUNREACH;
        for (const struct addrinfo *a = list; a && r < 0; a = a->ai_next)
                r = connect_to(s, a->ai_addr, a->ai_addrlen);
        freeaddrinfo(list);
        if (r >= 0)
                net_tune(s->fd);
        return r;
}

/* The parts of "https://host:6443/prefix"; all owned by the caller. */
struct url {
        char *host, *port, *authority, *prefix;
        bool tls;
};

static void url_done(struct url *u) {
        free(u->host);
        free(u->port);
        free(u->authority);
        free(u->prefix);
}

static int url_parse(const char *text, struct url *ret) {
        const char *rest = startswith(text, "https://"), *end, *colon;
        struct url u = {.tls = rest != NULL};

        if (!rest)
                rest = startswith(text, "http://");
        if (!rest)
                return -EINVAL;
        end = rest + strcspn(rest, "/");
        u.authority = strndup(rest, (size_t)(end - rest));
        u.prefix = strdup(end);
        while (u.prefix && endswith(u.prefix, "/"))
                u.prefix[strlen(u.prefix) - 1] = 0;
        colon = u.authority ? strrchr(u.authority, ':') : NULL;
        if (colon && strchr(colon, ']'))
                colon = NULL;
        if (u.authority && u.authority[0] == '[')
                u.host = strndup(u.authority + 1, strcspn(u.authority + 1, "]"));
        else if (u.authority)
                u.host = colon ? strndup(u.authority, (size_t)(colon - u.authority))
                               : strdup(u.authority);
        u.port = strdup(colon ? colon + 1 : u.tls ? "443" : "80");
        if (!u.host || !u.port || !u.authority || !u.prefix) {
                url_done(&u);
                return -ENOMEM;
        }
        *ret = u;
        return 0;
}

static int handshake(struct api_stream *s, const struct kubeconfig_context *k, const char *host,
                struct problem *p) {
        const struct tls_files pem = {.cert = k->cert_pem, .key = k->key_pem, .ca = k->ca_pem};
        _cleanup_(tls_context_freep) struct tls_context *context = NULL;
        bool want_write = false;
        int r = tls_context_new_pem(&context, &pem, /* server= */ false, p);

        if (r < 0)
                return r;
        r = tls_stream_new(&s->tls, context, s->fd, k->tls_server_name ? k->tls_server_name : host,
                        "http/1.1");
        while (r >= 0) {
                r = tls_stream_handshake(s->tls, &want_write);
                if (r != -EAGAIN)
                        break;
                r = wait_for(s, want_write ? POLLOUT : POLLIN);
        }
        if (r >= 0)
                return 0;
        return problem_set(p, -r, 0, NULL, "cannot speak TLS with %s: %s", k->server,
                        s->tls ? tls_stream_error_text(s->tls) : strerror(-r));
}

static int dial(struct api_stream *s, const struct kubeconfig_context *k, const struct url *u,
                struct problem *p) {
        const char *path = startswith(k->server, "unix://");
        int r = path ? connect_unix(s, path) : connect_host(s, u->host, u->port);

        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "cannot connect to %s: %s; is the server running?", k->server,
                                strerror(-r));
        return u->tls ? handshake(s, k, u->host, p) : 0;
}

/* ---- the upgrade ---- */

static int write_whole(struct api_stream *s, const struct buf *b) {
        size_t done = 0;

        if (b->failed)
                return -ENOMEM;
        while (done < b->size) {
                ssize_t n = raw_write(s, b->data + done, b->size - done);
                int r = n == -EAGAIN ? wait_for(s, POLLOUT) : n < 0 ? (int)n : 0;

                if (r < 0)
                        return r;
                done += n > 0 ? (size_t)n : 0;
        }
        return 0;
}

/* A value from the command line is one line, or left out. */
static void add_header(struct buf *b, const char *name, const char *value) {
        if (!strpbrk(value, "\r\n"))
                buf_printf(b, "%s: %s\r\n", name, value);
        else
                b->failed = true;
}

static int ask(struct api_stream *s, const struct kubeconfig_context *k, const struct url *u,
                const char *path) {
        _cleanup_buf_ struct buf b = {0};
        int r = websocket_make_key(s->key);

        if (r < 0)
                return r;
        buf_printf(&b,
                        "GET %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: kctl\r\n"
                        "Connection: Upgrade\r\nUpgrade: websocket\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n"
                        "Sec-WebSocket-Protocol: " PROTOCOLS "\r\n",
                        strempty(u->prefix), path, u->authority ? u->authority : "localhost",
                        s->key);
        if (k->token)
                buf_printf(&b, "Authorization: Bearer %s\r\n", k->token);
        if (k->as_user)
                add_header(&b, "Impersonate-User", k->as_user);
        for (char *const *g = k->as_groups; g && *g; g++)
                add_header(&b, "Impersonate-Group", *g);
        buf_append_str(&b, "\r\n");
        return write_whole(s, &b);
}

/* Reads until the buffer has `want` bytes, or until the head of the answer is whole (want 0). */
static int read_answer(struct api_stream *s, size_t want, size_t max) {
        char data[4096];

        while (want ? s->in.size < want : !memmem(s->in.data, s->in.size, "\r\n\r\n", 4)) {
                ssize_t n = raw_read(s, data, sizeof(data));
                int r = n == -EAGAIN ? wait_for(s, POLLIN) : n < 0 ? (int)n : 0;

                if (r < 0)
                        return r;
                if (n == 0)
                        return want ? 0 : -ECONNRESET;
                if (n > 0 && (s->in.size + (size_t)n > max ||
                                             buf_append(&s->in, data, (size_t)n) < 0))
                        return -E2BIG;
        }
        return 0;
}

/* A header's value in the head; the caller frees. NULL when absent. */
static char *header(const char *head, const char *name) {
        size_t n = strlen(name);

        for (const char *line = strstr(head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
                        const char *value = line + n + 1 + strspn(line + n + 1, " \t");

                        return strndup(value, strcspn(value, "\r\n"));
                }
        }
        return NULL;
}

static int refused(struct api_stream *s, const char *head, size_t head_size, int code,
                struct problem *p) {
        _cleanup_free_ char *length = header(head, "Content-Length");
        uint64_t n = 0;

        if (length && parse_u64(length, &n) >= 0 && n > 0 && n < REFUSAL_MAX)
                (void)read_answer(s, head_size + (size_t)n, HEAD_MAX + REFUSAL_MAX);
        problem_from_status(p, code, s->in.data + head_size, s->in.size - head_size);
        return -EINVAL;
}

static int take_answer(struct api_stream *s, struct problem *p) {
        char expected[WEBSOCKET_ACCEPT_SIZE];
        _cleanup_free_ char *head = NULL, *accept = NULL, *protocol = NULL;
        size_t n;
        int code = 0, r;

        r = read_answer(s, 0, HEAD_MAX);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "the server does not answer: %s", strerror(-r));
        n = (size_t)((char *)memmem(s->in.data, s->in.size, "\r\n\r\n", 4) - s->in.data) + 4;
        head = strndup(s->in.data, n);
        if (!head)
                return -ENOMEM;
        if (sscanf(head, "HTTP/1.%*d %d", &code) != 1)
                return problem_set(p, EPROTO, 0, NULL, "the server does not speak HTTP/1.1");
        if (code != 101)
                return refused(s, head, n, code, p);
        accept = header(head, "Sec-WebSocket-Accept");
        protocol = header(head, "Sec-WebSocket-Protocol");
        r = websocket_accept(s->key, expected);
        if (r < 0)
                return r;
        if (!streq_ptr(accept, expected) || !protocol || !strstr(PROTOCOLS, protocol))
                return problem_set(p, EPROTO, 0, NULL,
                                "the server's answer is not the one to a WebSocket request");
        s->v5 = startswith(protocol, "v5.") != NULL;
        buf_consume(&s->in, n);
        return 0;
}

/* ---- in the loop ---- */

static void update(struct api_stream *s) {
        uint32_t events = (s->paused ? 0 : EPOLLIN) |
                          (websocket_output(s->websocket)->size > 0 ? EPOLLOUT : 0);

        (void)sd_event_source_set_io_events(s->io, events);
        (void)sd_event_source_set_enabled(s->io, events && !s->ended ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void finish(struct api_stream *s, int error) {
        if (s->ended)
                return;
        s->ended = true;
        update(s);
        s->events->on_end(error, s->userdata);
}

static int on_piece(const void *data, size_t n, unsigned flags, void *userdata) {
        struct api_stream *s = userdata;
        const uint8_t *p = data;

        if (flags & WEBSOCKET_FIRST)
                s->channel = -1;
        if (n > 0 && s->channel < 0) {
                s->channel = *p++;
                n--;
        }
        if (n == 0)
                return 0;
        if (s->channel == CHANNEL_CLOSE && s->v5)
                return s->events->on_channel_end ? s->events->on_channel_end(*p, s->userdata) : 0;
        return s->events->on_data((unsigned)s->channel, p, n, s->userdata);
}

static int write_out(struct api_stream *s) {
        struct buf *out = websocket_output(s->websocket);
        bool had = out->size > 0;

        while (out->size > 0) {
                ssize_t n = raw_write(s, out->data, out->size);

                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return (int)n;
                buf_consume(out, (size_t)n);
        }
        if (had && s->events->on_drained)
                s->events->on_drained(s->userdata);
        return 0;
}

/* TLS may hold more than the socket shows: reading continues until there is no more. */
static int read_in(struct api_stream *s) {
        char data[READ_SIZE];

        while (!s->paused) {
                ssize_t n = raw_read(s, data, sizeof(data));
                int r;

                if (n == -EAGAIN)
                        return 0;
                if (n < 0)
                        return (int)n;
                if (n == 0)
                        return -ECONNRESET;
                r = websocket_feed(s->websocket, data, (size_t)n);
                if (r < 0)
                        return r;
                if (websocket_has_ended(s->websocket)) {
                        finish(s, 0);
                        return 0;
                }
        }
        return 0;
}

static void turn(struct api_stream *s) {
        int r = read_in(s);

        if (r >= 0 || s->ended) {
                int w = write_out(s);

                r = r < 0 ? r : w;
        }
        if (r < 0)
                finish(s, r);
        else
                update(s);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        turn(userdata);
        return 0;
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct api_stream *s = userdata;

        s->soon = sd_event_source_disable_unref(s->soon);
        if (!s->ended)
                turn(s);
        return 0;
}

static void turn_soon(struct api_stream *s) {
        if (!s->soon && sd_event_add_defer(s->event, &s->soon, on_soon, s) < 0)
                s->soon = NULL;
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct api_stream *s = userdata;

        if (!s->ended && websocket_ping(s->websocket) >= 0)
                update(s);
        (void)sd_event_source_set_time_relative(source, PING_US);
        return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

/* Messages may have come with the answer. */
static int on_first(sd_event_source *source, void *userdata) {
        struct api_stream *s = userdata;
        int r = s->in.size > 0 ? websocket_feed(s->websocket, s->in.data, s->in.size) : 0;

        s->soon = sd_event_source_disable_unref(s->soon);
        buf_reset(&s->in);
        if (r < 0)
                finish(s, r);
        else if (websocket_has_ended(s->websocket))
                finish(s, 0);
        else
                turn(s);
        return 0;
}

static int begin(struct api_stream *s) {
        int r;

        s->channel = -1;
        r = websocket_new(&s->websocket, WEBSOCKET_CLIENT, on_piece, s);
        if (r < 0)
                return r;
        r = sd_event_add_io(s->event, &s->io, s->fd, EPOLLIN, on_io, s);
        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        s->event, &s->timer, CLOCK_MONOTONIC, PING_US, 0, on_timer, s);
        if (r < 0)
                return r;
        return sd_event_add_defer(s->event, &s->soon, on_first, s);
}

static int open_stream(struct api_stream *s, const struct kubeconfig_context *k, const char *path,
                struct problem *p) {
        _cleanup_(url_done) struct url u = {0};
        int r = startswith(k->server, "unix://") ? 0 : url_parse(k->server, &u);

        if (r < 0)
                return problem_set(p, -r, 0, NULL,
                                "the server %s of the kubeconfig is not https://HOST:PORT",
                                k->server);
        s->deadline_us = now_mono_us() + CONNECT_US;
        r = dial(s, k, &u, p);
        if (r < 0)
                return r;
        r = ask(s, k, &u, path);
        if (r < 0)
                return problem_set(p, -r, 0, NULL, "cannot ask %s: %s", k->server, strerror(-r));
        return take_answer(s, p);
}

int api_stream_new(struct api_stream **ret, sd_event *event, const struct kubeconfig_context *k,
                const char *path, const struct api_stream_events *events, void *userdata,
                struct problem *p) {
        _cleanup_(api_stream_freep) struct api_stream *s = calloc(1, sizeof(*s));
        int r;

        if (!s)
                return -ENOMEM;
        s->fd = -EBADF;
        s->event = event;
        s->events = events;
        s->userdata = userdata;
        r = open_stream(s, k, path, p);
        if (r < 0)
                return r;
        r = begin(s);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(s);
        return 0;
}

struct api_stream *api_stream_free(struct api_stream *s) {
        if (!s)
                return NULL;
        sd_event_source_disable_unref(s->io);
        sd_event_source_disable_unref(s->timer);
        sd_event_source_disable_unref(s->soon);
        websocket_free(s->websocket);
        tls_stream_free(s->tls);
        safe_close(s->fd);
        buf_done(&s->in);
        return mfree(s);
}

int api_stream_send(struct api_stream *s, unsigned channel, const void *data, size_t n) {
        const uint8_t head = (uint8_t)channel;
        int r = websocket_send(s->websocket, &head, 1, data, n);

        update(s);
        return r;
}

int api_stream_end_channel(struct api_stream *s, unsigned channel) {
        const uint8_t which = (uint8_t)channel;

        return s->v5 ? api_stream_send(s, CHANNEL_CLOSE, &which, 1) : -EOPNOTSUPP;
}

int api_stream_close(struct api_stream *s) {
        int r = websocket_close(s->websocket, 1000);

        update(s);
        return r;
}

size_t api_stream_queued(const struct api_stream *s) {
        return websocket_output(s->websocket)->size;
}

void api_stream_pause(struct api_stream *s, bool paused) {
        if (s->paused == paused)
                return;
        s->paused = paused;
        update(s);
        if (!paused)
                turn_soon(s);
}
