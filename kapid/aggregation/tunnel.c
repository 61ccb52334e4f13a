/* A request that leaves HTTP (exec and the like): the extension server is asked over a connection
 * of its own, and once it has switched protocols bytes go both ways as they come. The HTTP client
 * cannot do that; lib/tls.h can.
 *
 *      CONNECTING --> HANDSHAKE --> HEAD --> OPENING --> OPEN     101
 *                                     \--> BODY --> answered      any other status
 *
 * Until OPENING the client's request waits, for HEAD_TIME_US at most. pump() is the one place where
 * bytes move; each direction holds BUFFER_MAX and then lets its sender wait. */
#include "kapid/aggregation/internal.h"

#include <sys/socket.h>

#include "kapid/aggregation/forward.h"
#include "kapid/http/dispatch.h"
#include "lib/net.h"
#include "lib/timefmt.h"
#include "lib/tls.h"

enum {
        BUFFER_MAX = 64 << 10,
        READ_SIZE = 16 << 10,
        HEAD_MAX = 32 << 10,
        ROUNDS_MAX = 8, /* of pump(), then others have their turn */
        HEAD_TIME_US = 30 * 1000 * 1000,
        TICK_US = 30 * 1000 * 1000,
        ERROR_TEXT_MAX = 512,
};

enum tunnel_state { CONNECTING, HANDSHAKE, HEAD, BODY, OPENING, OPEN };

struct tunnel {
        LIST_ENTRY(tunnel) entry;
        struct aggregation *all;
        struct remote *remote;
        struct request *request; /* NULL: answered */
        char *user;              /* who asked */
        struct webhook_share *share;
        enum tunnel_state state;
        int fd;
        struct tls_context *context;
        struct tls_stream *tls;
        struct http_upgrade *upgrade;
        sd_event_source *server_io, *client_io, *timer, *soon;
        struct buf up, down; /* to the server, to the client */
        struct forward_headers answer;
        int code;
        size_t body; /* bytes of it that are awaited */
        bool want_write, server_ended, client_ended;
        uint64_t active_us;
};

static struct tunnel *tunnel_free(struct tunnel *t) {
        if (!t)
                return NULL;
        if (t->request)
                t->request->on_gone = NULL;
        if (t->upgrade)
                http_upgrade_end(t->upgrade);
        LIST_REMOVE(t, entry);
        sd_event_source_disable_unref(t->server_io);
        sd_event_source_disable_unref(t->client_io);
        sd_event_source_disable_unref(t->timer);
        sd_event_source_disable_unref(t->soon);
        tls_stream_free(t->tls);
        tls_context_free(t->context);
        safe_close(t->fd);
        buf_done(&t->up);
        buf_done(&t->down);
        forward_headers_done(&t->answer);
        free(t->user);
        webhook_shares_leave(t->all->shares, t->share);
        remote_unref(t->remote);
        request_unref(t->request);
        return mfree(t);
}

void tunnels_end_all(struct aggregation *g) {
        struct tunnel *t;

        while ((t = LIST_FIRST(&g->tunnels)))
                tunnel_free(t);
}

size_t tunnels_end_of(struct aggregation *g, const char *user) {
        struct tunnel *next;
        size_t n = 0;

        for (struct tunnel *t = LIST_FIRST(&g->tunnels); t; t = next) {
                next = LIST_NEXT(t, entry);
                if (!streq(t->user, user))
                        continue;
                if (t->request && t->request->http)
                        http_request_hang_up(t->request->http); /* t may be gone */
                else
                        tunnel_free(t);
                n++;
        }
        return n;
}

/* Ends it; a client that still waits gets the reason. */
static void fail(struct tunnel *t, int code, const char *why) {
        _cleanup_problem_ struct problem p = {0};
        char shown[ERROR_TEXT_MAX]; /* it may quote the server's certificate */

        if (t->request) {
                (void)snprintf(shown, sizeof(shown), "%s", why);
                shown[utf8_clean(shown, strlen(shown))] = 0;
                problem_set(&p, EIO, code, code == 504 ? "Timeout" : "ServiceUnavailable",
                                "error trying to reach service: %s", shown);
                respond_problem(t->request, &p);
        }
        metric_add(t->all->requests[1], 1);
        tunnel_free(t);
}

static void on_gone(struct request *request) {
        tunnel_free(request->on_gone_userdata);
}

/* --- the head of the answer --- */

static const char *answer_header(const struct tunnel *t, const char *name) {
        for (size_t i = 0; i < t->answer.count; i++)
                if (strcaseeq(t->answer.items[i].name, name))
                        return t->answer.items[i].value;
        return NULL;
}

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
        r = forward_add(&t->answer, line, value);
        return r == -EINVAL ? 0 : r;
}

/* n bytes, the empty line among them. */
static int parse_head(struct tunnel *t, size_t n) {
        _cleanup_free_ char *text = strndup(t->down.data, n);
        char *save = NULL, *line = text ? strtok_r(text, "\r\n", &save) : NULL;
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
        if (answer_header(t, "Content-Length") &&
                        parse_u64(answer_header(t, "Content-Length"), &size) < 0)
                return -EBADMSG;
        t->body = (size_t)MIN(size, (uint64_t)BUFFER_MAX);
        return 0;
}

static void add_headers(struct tunnel *t) {
        const char *connection = answer_header(t, "Connection");

        for (size_t i = 0, n = 0; i < t->answer.count && n < FORWARD_HEADERS_MAX; i++) {
                const struct http_header *h = &t->answer.items[i];

                if (!forward_returns(h->name, h->value, connection))
                        continue;
                (void)http_response_header(t->request->http, h->name, h->value);
                n++;
        }
}

/* Any other status: 1, it is answered and t is gone; 0, more is to come. */
static int refuse(struct tunnel *t) {
        bool odd = t->code < 400 || t->code > 599;

        if (!odd && t->down.size < t->body && !t->server_ended)
                return 0;
        if (odd) {
                fail(t, 502, "the server did not switch protocols");
                return 1;
        }
        if (t->request->http)
                add_headers(t);
        respond_data(t->request, t->code, strempty(answer_header(t, "Content-Type")),
                        strempty(t->down.data), MIN(t->down.size, t->body));
        tunnel_free(t);
        return 1;
}

static const struct http_upgrade_handler upgrade_handler;

/* 1: t is gone. */
static int open_client(struct tunnel *t) {
        _cleanup_request_ struct request *request = TAKE_PTR(t->request);

        request->on_gone = NULL;
        if (!request->http) {
                tunnel_free(t);
                return 1;
        }
        t->request = request; /* for the headers alone */
        add_headers(t);
        t->request = NULL;
        (void)http_response_header(request->http, "Upgrade", answer_header(t, "Upgrade"));
        t->state = OPENING;
        metric_add(t->all->requests[0], 1);
        t->upgrade = respond_upgrade(request, &upgrade_handler, t);
        if (t->upgrade)
                return 0;
        tunnel_free(t);
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
        if (t->code == 101 && !isempty(answer_header(t, "Upgrade")))
                return open_client(t);
        t->state = BODY;
        return refuse(t);
}

/* --- bytes --- */

static bool is_temporary(ssize_t n) {
        return n == -EAGAIN;
}

/* Each: 1 when something moved, 0 when it has to wait, or an error. */
static int read_server(struct tunnel *t) {
        char data[READ_SIZE];
        ssize_t n;

        if (t->server_ended || t->down.size >= BUFFER_MAX)
                return 0;
        n = tls_stream_read(t->tls, data, sizeof(data));
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
        n = tls_stream_write(t->tls, t->up.data, MIN(t->up.size, (size_t)READ_SIZE));
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
                tunnel_free(t);
        else {
                update(t);
                if (r > 0 && !t->soon)
                        (void)sd_event_add_defer(t->all->api->event, &t->soon, on_soon, t);
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
        if (sd_event_add_io(t->all->api->event, &t->client_io, fd, EPOLLIN, on_client_io, t) < 0 ||
                        buf_append(&t->up, data, n) < 0) {
                tunnel_free(t);
                return;
        }
        pump(t);
}

static void on_upgrade_gone(struct http_upgrade *u, void *userdata) {
        struct tunnel *t = userdata;

        t->upgrade = NULL;
        tunnel_free(t);
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
        t->state = HANDSHAKE;
        shake_hands(t);
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
static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        struct tunnel *t = userdata;
        uint64_t idle_us = t->all->api->options.stream_idle_us;

        if (t->state < OPENING)
                fail(t, 504, "it has not answered in time");
        else if (idle_us > 0 && t->active_us + idle_us < now_mono_us())
                tunnel_free(t);
        else {
                (void)sd_event_source_set_time_relative(source, TICK_US);
                (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        return 0;
}

/* --- the beginning --- */

/* Without the tokens that some clients put among the protocols of a WebSocket. */
static int put_header(struct buf *out, const struct http_header *h) {
        static const char token[] = "base64url.bearer.authorization.k8s.io.";
        _cleanup_free_ char *copy = NULL;
        char *save = NULL;
        const char *gap = "";

        if (!strcaseeq(h->name, "Sec-WebSocket-Protocol"))
                return buf_printf(out, "%s: %s\r\n", h->name, h->value);
        copy = strdup(h->value);
        if (!copy)
                return -ENOMEM;
        buf_printf(out, "%s: ", h->name);
        for (char *s = strtok_r(copy, ", \t", &save); s; s = strtok_r(NULL, ", \t", &save)) {
                if (startswith(s, token))
                        continue;
                buf_printf(out, "%s%s", gap, s);
                gap = ", ";
        }
        return buf_append_str(out, "\r\n");
}

static int write_head(struct tunnel *t, struct problem *p) {
        _cleanup_forward_headers_ struct forward_headers h = {0};
        _cleanup_free_ char *target = NULL;
        struct http_request *http = t->request->http;
        const char *method = http_request_method(http);
        size_t n;
        int r;

        (void)request_body(t->request, &n);
        if (n > 0)
                return problem_set(p, EINVAL, 400, "BadRequest",
                                "a request that leaves HTTP (Upgrade) cannot have a body");
        r = forward_target(http_request_path(http), http_request_query_text(http), &target, p);

        if (r < 0)
                return r;
        r = proxy_headers(t->request, &h, p);
        if (r < 0)
                return r;
        /* Looked at like any other value before it is written. */
        r = forward_add(&h, "Upgrade", request_header(t->request, "Upgrade"));
        if (r < 0)
                return problem_set(p, EINVAL, 400, "BadRequest", "the Upgrade header is not valid");
        buf_printf(&t->up, "%s %s HTTP/1.1\r\nHost: %s:%lld\r\nConnection: Upgrade\r\n%s", method,
                        target, t->remote->server_name, (long long)t->remote->service.target.port,
                        streq(method, "GET") ? "" : "Content-Length: 0\r\n");
        for (size_t i = 0; i < h.count; i++)
                (void)put_header(&t->up, &h.items[i]);
        buf_append_str(&t->up, "\r\n");
        return t->up.failed ? -ENOMEM : 0;
}

/* address: "https://10.0.0.1:443" */
static int connect_to(struct tunnel *t, const char *address) {
        const char *host = startswith(address, "https://"), *colon = strrchr(address, ':');
        _cleanup_free_ char *text = NULL;
        uint16_t port;
        bool brackets = *host == '[';

        if (parse_port(colon + 1, &port) < 0)
                return -EINVAL;
        text = strndup(host + brackets, (size_t)(colon - host) - 2 * brackets);
        return text ? net_connect_tcp_start(&t->fd, text, port) : -ENOMEM;
}

static int make_tls(struct tunnel *t, struct problem *p) {
        struct front_proxy *f = t->all->proxy;
        struct tls_files pem = {.ca = t->remote->service.target.ca_pem,
                        .unverified = t->remote->service.insecure};
        int r;

        (void)front_proxy_refresh(f);
        pem.cert = front_proxy_cert(f);
        pem.key = front_proxy_key(f);
        r = tls_context_new_pem(&t->context, &pem, false, p);
        return r < 0 ? r : tls_stream_new(&t->tls, t->context, t->fd, t->remote->server_name, NULL);
}

static int enter(struct tunnel *t, struct problem *p) {
        int r = webhook_shares_enter(t->all->shares, request_sharer(t->request), &t->share);

        return r != -EBUSY ? r
                           : problem_set(p, EBUSY, 429, "TooManyRequests",
                                             "too many requests to extension servers are under "
                                             "way; please try again later");
}

static int begin(struct tunnel *t, struct problem *p) {
        _cleanup_free_ char *address = NULL, *why = NULL;
        sd_event *event = t->all->api->event;
        int r = enter(t, p);

        if (r < 0)
                return r;
        r = write_head(t, p);
        if (r < 0)
                return r;
        r = remote_address(t->remote, &address, &why);
        if (r == -ENOENT)
                return problem_set(p, ENOENT, 503, "ServiceUnavailable", "service unavailable: %s",
                                why);
        if (r < 0)
                return r;
        r = connect_to(t, address);
        if (r < 0)
                return problem_set(p, -r, 503, "ServiceUnavailable",
                                "error trying to reach service: %s: %s", address, strerror(-r));
        r = make_tls(t, p);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &t->server_io, t->fd, EPOLLOUT, on_server_io, t);
        if (r < 0)
                return r;
        return sd_event_add_time_relative(
                        event, &t->timer, CLOCK_MONOTONIC, HEAD_TIME_US, 0, on_timer, t);
}

void tunnel_run(struct request *request) {
        struct aggregation *g = request->remote->all;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *user = NULL;
        struct tunnel *t;
        int r;

        if (!dispatch_stream(request))
                return;
        t = calloc(1, sizeof(*t));
        user = strdup(request_sharer(request));
        if (!t || !user) {
                free(t);
                respond_errno(request, ENOMEM);
                return;
        }
        *t = (struct tunnel){.all = g,
                        .user = TAKE_PTR(user),
                        .remote = remote_ref(request->remote),
                        .request = request_ref(request),
                        .fd = -EBADF};
        LIST_INSERT_HEAD(&g->tunnels, t, entry);
        request->on_gone = on_gone;
        request->on_gone_userdata = t;
        r = begin(t, &p);
        if (r >= 0)
                return;
        respond_error(request, r, &p);
        tunnel_free(t);
}
