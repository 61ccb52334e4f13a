/* HTTP/1.1 for connections that the gRPC server accepted: libmicrohttpd gets one end of a pair of
 * sockets, and a relay carries bytes between the other end and the client, through TLS where there
 * is some.
 *
 * A relay holds at most one block in each direction, and reads only into an empty one. Nothing here
 * waits: a client that does not read stops our reading from libmicrohttpd, which then stops too.
 * Relays stand in the order of their deadlines, so that the first is both the next to end and the
 * one that gives way. */
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/h2.h"
#include "lib/http-server.h"
#include "lib/web.h"

enum {
        BLOCK_SIZE = 16 << 10,
        ROUNDS_MAX = 8,           /* in one turn of the loop */
        LAST_ANSWER_US = 5000000, /* after the client has ended its side */
        BODY_SIZE_MAX = 4 << 10,
        /* Those of relays that ended count until libmicrohttpd has its turn. */
        MHD_CONNECTIONS_MAX = 16 * WEB_CONNECTIONS_MAX,
};

/* One direction. */
struct pipe {
        char *data;
        size_t size, at, room;
        bool ended; /* nothing more comes in */
};

struct relay {
        struct web_gate *gate;
        struct relay *next, *before;
        int fd, inner;
        struct tls_stream *tls;
        sd_event_source *fd_io, *inner_io;
        uint32_t fd_events, inner_events;
        struct pipe in, out; /* towards libmicrohttpd; towards the client */
        bool inner_closed;   /* by libmicrohttpd; the last of an answer may still be in it */
        uint64_t deadline_us;
};

struct web_gate {
        sd_event *event;
        struct http_server *server;
        sd_event_source *timer;
        web_handler handler;
        void *userdata;
        struct relay *first, *last;
        size_t count;
};

/* ---- relays ---- */

static void relay_unlink(struct relay *r) {
        struct web_gate *g = r->gate;

        if (r->before)
                r->before->next = r->next;
        else
                g->first = r->next;
        if (r->next)
                r->next->before = r->before;
        else
                g->last = r->before;
        g->count--;
}

static void wake_for_first(struct web_gate *g) {
        (void)sd_event_source_set_time(g->timer, g->first->deadline_us);
        (void)sd_event_source_set_enabled(g->timer, SD_EVENT_ONESHOT);
}

static void relay_append(struct relay *r) {
        struct web_gate *g = r->gate;

        r->deadline_us = h2_now_us() + WEB_REQUEST_US;
        r->next = NULL;
        r->before = g->last;
        if (g->last)
                g->last->next = r;
        else
                g->first = r;
        g->last = r;
        g->count++;
        if (g->first == r)
                wake_for_first(g);
}

/* Nothing more comes from this client, so that it gives way first. libmicrohttpd may overlook its
 * end when it comes along with the last bytes. */
static void relay_hasten(struct relay *r) {
        struct web_gate *g = r->gate;

        relay_unlink(r);
        r->deadline_us = h2_now_us() + LAST_ANSWER_US;
        r->before = NULL;
        r->next = g->first;
        if (g->first)
                g->first->before = r;
        else
                g->last = r;
        g->first = r;
        g->count++;
        wake_for_first(g);
}

static struct relay *relay_free(struct relay *r) {
        if (!r)
                return NULL;
        sd_event_source_disable_unref(r->fd_io);
        sd_event_source_disable_unref(r->inner_io);
        tls_stream_free(r->tls);
        safe_close(r->fd);
        safe_close(r->inner);
        free(r->in.data);
        free(r->out.data);
        return mfree(r);
}
DEFINE_CLEANUP(struct relay *, relay_free);

static void relay_end(struct relay *r) {
        relay_unlink(r);
        relay_free(r);
}

static ssize_t client_read(struct relay *r, void *p, size_t n) {
        ssize_t k = r->tls ? tls_stream_read(r->tls, p, n) : recv(r->fd, p, n, 0);

        return k < 0 && !r->tls ? -errno : k;
}

static ssize_t client_write(struct relay *r, const void *p, size_t n) {
        ssize_t k = r->tls ? tls_stream_write(r->tls, p, n) : send(r->fd, p, n, MSG_NOSIGNAL);

        return k < 0 && !r->tls ? -errno : k;
}

/* More from the client, then on to libmicrohttpd. 1 when something moved. */
static int move_in(struct relay *r) {
        ssize_t n;

        if (r->in.at == r->in.size && !r->in.ended) {
                n = client_read(r, r->in.data, r->in.room);
                if (n < 0)
                        return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
                r->in.at = 0;
                r->in.size = (size_t)n;
                r->in.ended = n == 0;
                if (r->in.ended) {
                        (void)shutdown(r->inner, SHUT_WR);
                        relay_hasten(r);
                }
        }
        if (r->in.at == r->in.size)
                return 0;
        n = send(r->inner, r->in.data + r->in.at, r->in.size - r->in.at, MSG_NOSIGNAL);
        if (n < 0)
                return errno == EAGAIN ? 0 : -errno;
        r->in.at += (size_t)n;
        return 1;
}

/* More of an answer, then on to the client. -EPIPE when all is said. */
static int move_out(struct relay *r) {
        ssize_t n;

        if (r->out.at == r->out.size) {
                n = recv(r->inner, r->out.data, r->out.room, 0);
                if (n <= 0)
                        return n == 0 ? -EPIPE : errno == EAGAIN ? 0 : -errno;
                r->out.at = 0;
                r->out.size = (size_t)n;
        }
        n = client_write(r, r->out.data + r->out.at, r->out.size - r->out.at);
        if (n < 0)
                return n == -EAGAIN || n == -EINTR ? 0 : (int)n;
        r->out.at += (size_t)n;
        if (r->out.at == r->out.size && !r->in.ended) { /* it was served: time for the next one */
                relay_unlink(r);
                relay_append(r);
        }
        return 1;
}

static void set_events(sd_event_source *source, uint32_t *now, uint32_t wanted) {
        if (*now != wanted && sd_event_source_set_io_events(source, wanted) >= 0)
                *now = wanted;
}

static void relay_turn(struct relay *r) {
        bool in_waits, out_waits;

        for (unsigned i = 0; i < ROUNDS_MAX; i++) {
                int in = move_in(r), out;

                /* libmicrohttpd may have closed its end after an answer that is still to be sent.
                 */
                if (in < 0 && in != -EPIPE && in != -ECONNRESET) {
                        relay_end(r);
                        return;
                }
                out = move_out(r);
                if (out < 0) {
                        relay_end(r);
                        return;
                }
                if (in <= 0 && out == 0)
                        break;
        }
        in_waits = r->in.at < r->in.size;
        out_waits = r->out.at < r->out.size;
        set_events(r->fd_io, &r->fd_events,
                        (in_waits || r->in.ended ? 0 : EPOLLIN) |
                                        (out_waits || r->inner_closed ? EPOLLOUT : 0));
        set_events(r->inner_io, &r->inner_events,
                        (out_waits ? 0 : EPOLLIN) | (in_waits ? EPOLLOUT : 0));
}

static int on_relay_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct relay *r = userdata;

        /* Ends are reported also when nothing was asked for, again and again. */
        if (fd == r->fd && (revents & (EPOLLHUP | EPOLLERR))) {
                relay_end(r);
                return 0;
        }
        if (fd == r->inner && (revents & (EPOLLHUP | EPOLLERR))) {
                r->inner_closed = true;
                (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
        }
        relay_turn(r);
        return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata) {
        struct web_gate *g = userdata;
        uint64_t now_us = h2_now_us();

        while (g->first && g->first->deadline_us <= now_us)
                relay_end(g->first);
        if (g->first)
                wake_for_first(g);
        return 0;
}

static int relay_new(struct relay **ret, struct web_gate *g, int fd, size_t first) {
        _cleanup_(relay_freep) struct relay *r = calloc(1, sizeof(*r));
        int pair[2], k;

        if (!r)
                return -ENOMEM;
        *r = (struct relay){.gate = g, .fd = -EBADF, .inner = -EBADF};
        r->in.room = MAX((size_t)BLOCK_SIZE, first);
        r->out.room = BLOCK_SIZE;
        r->in.data = malloc(r->in.room);
        r->out.data = malloc(r->out.room);
        if (!r->in.data || !r->out.data)
                return -ENOMEM;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;
        r->inner = pair[0];
        k = http_server_add(g->server, pair[1]);
        if (k >= 0)
                k = sd_event_add_io(g->event, &r->inner_io, r->inner, EPOLLIN, on_relay_io, r);
        if (k >= 0)
                k = sd_event_add_io(g->event, &r->fd_io, fd, EPOLLIN, on_relay_io, r);
        if (k < 0)
                return k;
        r->fd_events = r->inner_events = EPOLLIN;
        *ret = TAKE_PTR(r);
        return 0;
}

void web_gate_take(
                struct web_gate *g, int fd, struct tls_stream *tls, const void *first, size_t n) {
        struct relay *r = NULL;

        if (g->count >= WEB_CONNECTIONS_MAX)
                relay_end(g->first);
        if (n > WEB_FIRST_MAX || relay_new(&r, g, fd, n) < 0) {
                tls_stream_free(tls);
                safe_close(fd);
                return;
        }
        r->fd = fd;
        r->tls = tls;
        if (n > 0)
                memcpy(r->in.data, first, n);
        r->in.size = n;
        relay_append(r);
        relay_turn(r);
}

size_t web_gate_connections(const struct web_gate *g) {
        return g->count;
}

/* ---- requests ---- */

static void answer(void *client, int code, const char *type, const void *body, size_t n) {
        struct http_request *req = client;

        if (code == 405)
                (void)http_response_header(req, "Allow", "GET");
        (void)http_response_header(req, "X-Content-Type-Options", "nosniff");
        http_respond(req, code, type, body, n);
}

static void on_gone(struct http_request *req, void *userdata) {
        struct web_request *w = userdata;

        w->client = NULL;
}

static void on_request(struct http_request *req, void *userdata) {
        struct web_gate *g = userdata;
        struct web_request *w = web_request_new(http_request_method(req), http_request_path(req),
                        http_request_query_text(req));

        if (!w) {
                http_respond(req, 503, "text/plain", "out of memory\n", 14);
                return;
        }
        w->client = req;
        w->answer = answer;
        http_request_on_gone(req, on_gone, w);
        g->handler(w, g->userdata);
}

/* ---- the gate ---- */

int web_gate_new(struct web_gate **ret, sd_event *event, web_handler handler, void *userdata) {
        _cleanup_(web_gate_freep) struct web_gate *g = calloc(1, sizeof(*g));
        const struct http_server_options options = {.guests_only = true,
                        .body_size_max = BODY_SIZE_MAX,
                        .connections_max = MHD_CONNECTIONS_MAX,
                        .handler = on_request,
                        .userdata = g};
        _cleanup_problem_ struct problem p = {0};
        int r;

        if (!g)
                return -ENOMEM;
        g->event = sd_event_ref(event);
        g->handler = handler;
        g->userdata = userdata;
        r = http_server_new(&g->server, event, &options, &p);
        if (r < 0)
                return r;
        r = sd_event_add_time(event, &g->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_deadline, g);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(g->timer, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(g);
        return 0;
}

struct web_gate *web_gate_free(struct web_gate *g) {
        if (!g)
                return NULL;
        while (g->first)
                relay_end(g->first);
        http_server_free(g->server);
        sd_event_source_disable_unref(g->timer);
        sd_event_unref(g->event);
        return mfree(g);
}
