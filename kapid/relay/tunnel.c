/* A request that leaves HTTP (exec, WebSockets and the like): the server is asked over a connection
 * of its own, and once it has switched protocols bytes go both ways as they come. The HTTP client
 * cannot do that; lib/tls.h can.
 *
 *      CONNECTING --> HANDSHAKE --> HEAD --> OPENING --> OPEN     101
 *                                     \--> BODY --> answered      any other status
 *
 * Until OPENING the client's request waits, for HEAD_TIME_US at most. pump() is the one place where
 * bytes move; each direction holds BUFFER_MAX and then lets its sender wait. */
#include "kapid/relay/internal.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include "lib/net.h"
#include "lib/timefmt.h"

enum {
        BUFFER_MAX = 64 << 10,
        READ_SIZE = 16 << 10,
        HEAD_MAX = 32 << 10,
        ROUNDS_MAX = 8, /* of pump(), then others have their turn */
        HEAD_TIME_US = 30 * 1000 * 1000,
        TICK_US = 30 * 1000 * 1000,
};

enum tunnel_state { CONNECTING, HANDSHAKE, HEAD, BODY, OPENING, OPEN };

struct tunnel {
        struct relay *relay;
        enum tunnel_state state;
        int fd;
        struct tls_context *context;
        struct tls_stream *tls; /* NULL: plain */
        struct http_upgrade *upgrade;
        sd_event_source *server_io, *client_io, *soon;
        struct buf up, down; /* to the server, to the client */
        int code;
        size_t body; /* bytes of it that are awaited */
        bool is_cut; /* there are more, or nobody knows how many */
        bool want_write, server_ended, client_ended;
        uint64_t active_us;
};

struct tunnel *tunnel_free(struct tunnel *t) {
        if (!t)
                return NULL;
        if (t->upgrade)
                http_upgrade_end(t->upgrade);
        sd_event_source_disable_unref(t->server_io);
        sd_event_source_disable_unref(t->client_io);
        sd_event_source_disable_unref(t->soon);
        tls_stream_free(t->tls);
        tls_context_free(t->context);
        safe_close(t->fd);
        buf_done(&t->up);
        buf_done(&t->down);
        return mfree(t);
}

int tunnel_new(struct relay *y) {
        y->tunnel = calloc(1, sizeof(*y->tunnel));
        if (!y->tunnel)
                return -ENOMEM;
        y->tunnel->relay = y;
        y->tunnel->fd = -EBADF;
        return 0;
}

/* Ends it; a client that still waits gets the reason. */
static void fail(struct tunnel *t, int code, const char *why) {
        relay_unreachable(t->relay, code, why);
}

/* --- the head of the answer --- */

/* The line is cut to pieces. */
static int take_header(struct tunnel *t, char *line) {
        char *value = strchr(line, ':');
        int r;

        if (!value)
                return -EBADMSG;
        *value++ = 0;
        value += strspn(value, " \t");
        for (size_t n = strlen(value); n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t');)
                value[--n] = 0;
        r = forward_add(&t->relay->answer, line, value);
        return r == -EINVAL ? 0 : r;
}

/* n bytes, the empty line among them. */
static int parse_head(struct tunnel *t, size_t n) {
        _cleanup_free_ char *text = strndup(t->down.data, n);
        char *save = NULL, *line = text ? strtok_r(text, "\r\n", &save) : NULL;
        const char *length;
        uint64_t size = 0;
        int r;

        if (!text)
                return -ENOMEM;
        if (!line || !startswith(line, "HTTP/1.1 ") || sscanf(line + 9, "%3d", &t->code) != 1 ||
                        t->code < 100)
                return -EBADMSG;
        while ((line = strtok_r(NULL, "\r\n", &save))) {
                r = take_header(t, line);
                if (r < 0)
                        return r;
        }
        length = relay_answer_header(t->relay, "Content-Length");
        if (length && parse_u64(length, &size) < 0)
                return -EBADMSG;
        t->body = (size_t)MIN(size, (uint64_t)BUFFER_MAX);
        t->is_cut = !length || size > BUFFER_MAX ||
                    relay_answer_header(t->relay, "Transfer-Encoding");
        return 0;
}

/* Any other status: 1, it is answered and t is gone; 0, more is to come. */
static int refuse(struct tunnel *t) {
        struct relay *y = t->relay;
        bool odd = t->code < 200 || t->code > 599 || (t->code < 400 && !y->ops->redirects) ||
                   (t->code < 300 && t->code != 204 && t->is_cut);

        if (!odd && t->down.size < t->body && !t->server_ended)
                return 0;
        if (odd || (y->request->http && relay_add_headers(y) < 0)) {
                fail(t, 502, "the server did not switch protocols");
                return 1;
        }
        respond_data(y->request, t->code, strempty(relay_answer_header(y, "Content-Type")),
                        strempty(t->down.data), MIN(t->down.size, t->body));
        relay_end(y);
        return 1;
}

static const struct http_upgrade_handler upgrade_handler;

/* 1: t is gone. */
static int open_client(struct tunnel *t) {
        struct relay *y = t->relay;
        _cleanup_request_ struct request *request = request_ref(y->request);

        if (!request->http || relay_add_headers(y) < 0) {
                fail(t, 502, "the server's answer has too many headers");
                return 1;
        }
        request->on_gone = NULL;
        y->request = request_unref(y->request);
        (void)http_response_header(request->http, "Upgrade", relay_answer_header(y, "Upgrade"));
        t->state = OPENING;
        metric_add(y->all->answered, 1);
        t->upgrade = respond_upgrade(request, &upgrade_handler, t);
        if (t->upgrade)
                return 0;
        relay_end(y);
        return 1;
}

/* What has come of the head. 1: t is gone; 0; -EBADMSG. */
static int look_at_head(struct tunnel *t) {
        const char *end;
        int r;

        if (t->state == BODY)
                return refuse(t);
        end = t->down.data ? strstr(t->down.data, "\r\n\r\n") : NULL;
        if (!end)
                return t->down.size >= HEAD_MAX || t->server_ended ? -EBADMSG : 0;
        r = parse_head(t, (size_t)(end + 4 - t->down.data));
        if (r < 0)
                return r;
        buf_consume(&t->down, (size_t)(end + 4 - t->down.data));
        if (t->code == 101 && !isempty(relay_answer_header(t->relay, "Upgrade")))
                return open_client(t);
        t->state = BODY;
        return refuse(t);
}

/* --- bytes --- */

static bool is_temporary(ssize_t n) {
        return n == -EAGAIN;
}

static ssize_t receive(struct tunnel *t, char *data, size_t n) {
        ssize_t k;

        if (t->tls)
                return tls_stream_read(t->tls, data, n);
        k = recv(t->fd, data, n, MSG_DONTWAIT);
        return k >= 0 ? k : errno == EINTR ? -EAGAIN : -errno;
}

static ssize_t transmit(struct tunnel *t, const char *data, size_t n) {
        ssize_t k;

        if (t->tls)
                return tls_stream_write(t->tls, data, n);
        k = send(t->fd, data, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        return k >= 0 ? k : errno == EINTR ? -EAGAIN : -errno;
}

/* Each: 1 when something moved, 0 when it has to wait, or an error. */
static int read_server(struct tunnel *t) {
        char data[READ_SIZE];
        ssize_t n;

        if (t->server_ended || t->down.size >= BUFFER_MAX)
                return 0;
        n = receive(t, data, sizeof(data));
        if (is_temporary(n))
                return 0;
        if (n <= 0) {
                t->server_ended = true;
                return 1;
        }
        return buf_append(&t->down, data, (size_t)n) < 0 ? -ENOMEM : 1;
}

static int write_server(struct tunnel *t) {
        ssize_t n;

        if (t->up.size == 0)
                return 0;
        n = transmit(t, t->up.data, MIN(t->up.size, (size_t)READ_SIZE));
        if (is_temporary(n))
                return 0;
        if (n <= 0)
                return n < 0 ? (int)n : -EPIPE;
        buf_consume(&t->up, (size_t)n);
        return 1;
}

static int read_client(struct tunnel *t) {
        char data[READ_SIZE];
        ssize_t n;

        if (t->state != OPEN || t->client_ended || t->up.size >= BUFFER_MAX)
                return 0;
        n = http_upgrade_read(t->upgrade, data, sizeof(data));
        if (is_temporary(n))
                return 0;
        if (n <= 0) {
                t->client_ended = true;
                return 1;
        }
        return buf_append(&t->up, data, (size_t)n) < 0 ? -ENOMEM : 1;
}

static int write_client(struct tunnel *t) {
        ssize_t n;

        if (t->state != OPEN || t->down.size == 0)
                return 0;
        n = http_upgrade_write(t->upgrade, t->down.data, MIN(t->down.size, (size_t)READ_SIZE));
        if (is_temporary(n))
                return 0;
        if (n <= 0)
                return n < 0 ? (int)n : -EPIPE;
        buf_consume(&t->down, (size_t)n);
        return 1;
}

/* A source that waits for nothing is switched off: epoll would report a hangup again and again. */
static void await(sd_event_source *source, uint32_t events) {
        (void)sd_event_source_set_io_events(source, events);
        (void)sd_event_source_set_enabled(source, events ? SD_EVENT_ON : SD_EVENT_OFF);
}

static void update(struct tunnel *t) {
        uint32_t server = 0, client = 0;

        if (t->state == CONNECTING || (t->state == HANDSHAKE && t->want_write) ||
                        (t->state > HANDSHAKE && t->up.size > 0))
                server |= EPOLLOUT;
        if (t->state > CONNECTING && !t->server_ended && t->down.size < BUFFER_MAX)
                server |= EPOLLIN;
        if (!t->client_ended && t->up.size < BUFFER_MAX)
                client |= EPOLLIN;
        if (t->down.size > 0)
                client |= EPOLLOUT;
        await(t->server_io, server);
        if (t->client_io)
                await(t->client_io, client);
}

/* Nothing more will come, and what came was passed on. */
static bool is_over(const struct tunnel *t) {
        return t->state == OPEN &&
               ((t->server_ended && t->down.size == 0) || (t->client_ended && t->up.size == 0));
}

static int on_soon(sd_event_source *source, void *userdata);

static int move_once(struct tunnel *t) {
        int (*const steps[])(struct tunnel * t) = {
                        write_server, read_server, write_client, read_client};
        int moved = 0;

        for (size_t i = 0; i < ELEMENTS(steps); i++) {
                int r = steps[i](t);

                if (r < 0)
                        return r;
                moved |= r;
        }
        return moved;
}

/* Afterwards t may be gone. */
static void pump(struct tunnel *t) {
        int r = 1;

        for (unsigned i = 0; r > 0 && i < ROUNDS_MAX; i++) {
                r = move_once(t);
                if (r > 0)
                        t->active_us = now_mono_us();
                if (r >= 0 && t->state < OPENING) {
                        int k = look_at_head(t);

                        if (k > 0)
                                return;
                        r = k < 0 ? k : r;
                }
        }
        if (r == -EBADMSG)
                fail(t, 502, "the server's answer is not HTTP");
        else if (r < 0)
                fail(t, 503, strerror(-r));
        else if (is_over(t))
                relay_end(t->relay);
        else {
                update(t);
                if (r > 0 && !t->soon)
                        (void)sd_event_add_defer(t->relay->all->api->event, &t->soon, on_soon, t);
        }
}

static int on_soon(sd_event_source *source, void *userdata) {
        struct tunnel *t = userdata;

        t->soon = sd_event_source_disable_unref(t->soon);
        pump(t);
        return 0;
}

static int on_client_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        pump(userdata);
        return 0;
}

/* --- the client's side --- */

static void on_upgrade_open(
                struct http_upgrade *u, int fd, const void *data, size_t n, void *userdata) {
        struct tunnel *t = userdata;

        t->state = OPEN;
        t->active_us = now_mono_us();
        if (sd_event_add_io(t->relay->all->api->event, &t->client_io, fd, EPOLLIN, on_client_io,
                            t) < 0 ||
                        buf_append(&t->up, data, n) < 0) {
                relay_end(t->relay);
                return;
        }
        pump(t);
}

static void on_upgrade_gone(struct http_upgrade *u, void *userdata) {
        struct tunnel *t = userdata;

        t->upgrade = NULL;
        relay_end(t->relay);
}

static const struct http_upgrade_handler upgrade_handler = {
                .on_open = on_upgrade_open, .on_gone = on_upgrade_gone};

/* --- the server's side --- */

static void shake_hands(struct tunnel *t) {
        int r = tls_stream_handshake(t->tls, &t->want_write);

        if (r == -EAGAIN)
                update(t);
        else if (r < 0)
                fail(t, 503, tls_stream_error_text(t->tls));
        else {
                t->state = HEAD;
                pump(t);
        }
}

static void connected(struct tunnel *t) {
        int r = 0;
        socklen_t n = sizeof(r);

        if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &r, &n) < 0)
                r = errno;
        if (r) {
                fail(t, 503, strerror(r));
                return;
        }
        net_tune(t->fd);
        t->state = t->tls ? HANDSHAKE : HEAD;
        if (t->tls)
                shake_hands(t);
        else
                pump(t);
}

static int on_server_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct tunnel *t = userdata;

        if (t->state == CONNECTING)
                connected(t);
        else if (t->state == HANDSHAKE)
                shake_hands(t);
        else
                pump(t);
        return 0;
}

/* The head did not come in time; later: nothing has moved for as long as streams may be silent. */
void tunnel_on_timer(struct relay *y) {
        struct tunnel *t = y->tunnel;
        uint64_t idle_us = y->all->api->options.stream_idle_us;

        if (t->state < OPENING)
                fail(t, 504, "it has not answered in time");
        else if (idle_us > 0 && t->active_us + idle_us < now_mono_us())
                relay_end(y);
        else {
                (void)sd_event_source_set_time_relative(y->timer, TICK_US);
                (void)sd_event_source_set_enabled(y->timer, SD_EVENT_ONESHOT);
        }
}

/* --- the beginning --- */

static bool has_header(const struct forward_headers *h, const char *name) {
        for (size_t i = 0; i < h->count; i++)
                if (strcaseeq(h->items[i].name, name))
                        return true;
        return false;
}

static int write_head(struct tunnel *t, const char *target, struct problem *p) {
        _cleanup_forward_headers_ struct forward_headers h = {0};
        struct request *request = t->relay->request;
        const char *method = http_request_method(request->http),
                   *accept = request_header(request, "Accept");
        size_t n;
        int r;

        (void)request_body(request, &n);
        if (n > 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "a request that leaves HTTP (Upgrade) cannot have a body");
        r = relay_request_headers(t->relay, &h, p);
        if (r < 0)
                return r;
        /* Looked at like any other value before it is written. */
        r = forward_add(&h, "Upgrade", request_header(request, "Upgrade"));
        if (r >= 0 && !isempty(accept))
                r = forward_add(&h, "Accept", accept);
        if (r < 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "the Upgrade or the Accept header is not valid");
        buf_printf(&t->up, "%s %s HTTP/1.1\r\nConnection: Upgrade\r\n%s", method, target,
                        streq(method, "GET") ? "" : "Content-Length: 0\r\n");
        assert(has_header(&h, "Host"));
        for (size_t i = 0; i < h.count; i++)
                buf_printf(&t->up, "%s: %s\r\n", h.items[i].name, h.items[i].value);
        buf_append_str(&t->up, "\r\n");
        return t->up.failed ? -ENOMEM : 0;
}

/* base_url: "https://10.0.0.1:443" */
static int connect_to(struct tunnel *t, const struct relay_place *place) {
        const char *host = startswith(place->base_url, "https://"),
                   *colon = strrchr(place->base_url, ':');
        _cleanup_free_ char *text = NULL;
        uint16_t port;
        bool brackets;

        if (place->socket_name)
                return net_connect_abstract(&t->fd, place->socket_name);
        if (!host || parse_port(colon + 1, &port) < 0)
                return -EINVAL;
        brackets = *host == '[';
        text = strndup(host + brackets, (size_t)(colon - host) - 2 * brackets);
        return text ? net_connect_tcp_start(&t->fd, text, port) : -ENOMEM;
}

static int make_tls(struct tunnel *t, const struct relay_place *place, struct problem *p) {
        int r = t->relay->ops->tls(t->relay->owner, &t->context, p);

        return r < 0 ? r : tls_stream_new(&t->tls, t->context, t->fd, place->server_name, NULL);
}

int tunnel_start(struct relay *y, const struct relay_place *place, struct problem *p) {
        struct tunnel *t = y->tunnel;
        int r = write_head(t, place->target, p);

        if (r < 0)
                return r;
        r = connect_to(t, place);
        if (r < 0)
                return problem_set(p, -r, 503, "ServiceUnavailable",
                                "error trying to reach service: %s: %s", place->base_url,
                                strerror(-r));
        if (startswith(place->base_url, "https://")) {
                r = make_tls(t, place, p);
                if (r < 0)
                        return r;
        }
        r = sd_event_add_io(y->all->api->event, &t->server_io, t->fd, EPOLLOUT, on_server_io, t);
        return r < 0 ? r : sd_event_source_set_time_relative(y->timer, HEAD_TIME_US);
}
