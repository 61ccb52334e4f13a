/* Who speaks HTTP/2: libmicrohttpd knows HTTP/1.1 alone, so where both are served this file accepts
 * the connections, looks at the first bytes of each without taking them, and gives it to lib/h2
 * when its TLS hello offers HTTP/2 (ALPN "h2"), else to libmicrohttpd, which never notices. Until
 * then a connection is a stranger's, with a stranger's time and number (http-limits.c). */
#include "lib/http-server-internal.h"

#include <sys/socket.h>

#include "lib/tls-hello.h"

enum { ACCEPTS_PER_TURN = 64, ACCEPT_PAUSE_US = 100000 };

bool http_accept_is_full(const struct http_server *s) {
        const union MHD_DaemonInfo *info =
                        MHD_get_daemon_info(s->mhd, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
        size_t others = info ? info->num_connections : 0;

        return others + s->h2_count + s->hello_count >= s->options.connections_max;
}

/* Nobody owns it now; its socket is still open. */
static void hello_unlink(struct http_connection *c) {
        c->hello = sd_event_source_disable_unref(c->hello);
        TAILQ_REMOVE(&c->server->hellos, c, hello_entry);
        c->server->hello_count--;
}

static void hello_end(struct http_connection *c) {
        hello_unlink(c);
        http_limits_end(c);
        safe_close(c->fd);
        free(c);
}

static void give_to_http1(struct http_connection *c) {
        struct http_server *s = c->server;
        struct sockaddr_storage address = {0};
        socklen_t n = sizeof(address);
        int fd = c->fd;

        hello_unlink(c);
        http_limits_end(c);
        free(c);
        if (getpeername(fd, (struct sockaddr *)&address, &n) < 0) {
                safe_close(fd);
                return;
        }
        /* It closes the socket also where it refuses. */
        if (MHD_add_connection(s->mhd, fd, (const struct sockaddr *)&address, n) == MHD_YES)
                http_server_run_fresh(s);
}

/* Looks at what has come. The edge that reports more of it comes by itself. */
static void look(struct http_connection *c, bool is_all) {
        char block[TLS_HELLO_SIZE_MAX];
        ssize_t n;
        int r;

        do
                n = recv(c->fd, block, sizeof(block), MSG_PEEK | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        if (n < 0 && errno == EAGAIN && !is_all)
                return;
        if (n <= 0) {
                hello_end(c);
                return;
        }
        r = tls_hello_offers(block, (size_t)n, "h2");
        if (r == -EAGAIN && is_all)
                hello_end(c);
        else if (r == 0 || (r == -EAGAIN && (size_t)n == sizeof(block)))
                give_to_http1(c);
        else if (r > 0) {
                hello_unlink(c);
                http2_server_take(c->server, c);
        }
}

static int on_hello(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        look(userdata, revents & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
        return 0;
}

static void take_client(struct http_server *s, int fd) {
        struct http_connection *c = http_accept_is_full(s) ? NULL : calloc(1, sizeof(*c));

        if (!c) {
                safe_close(fd);
                return;
        }
        c->server = s;
        c->fd = fd;
        if (sd_event_add_io(s->event, &c->hello, fd, EPOLLIN | EPOLLRDHUP | EPOLLET, on_hello, c) <
                        0) {
                safe_close(fd);
                free(c);
                return;
        }
        TAILQ_INSERT_TAIL(&s->hellos, c, hello_entry);
        s->hello_count++;
        http_limits_begin(c);
}

/* ---- the listening socket ---- */

static int on_again(sd_event_source *source, uint64_t usec, void *userdata) {
        struct http_server *s = userdata;

        (void)sd_event_source_set_enabled(s->accept, SD_EVENT_ON);
        return 0;
}

/* Without descriptors left, the client that waits would wake us all the time. */
static void pause_accepting(struct http_server *s) {
        (void)sd_event_source_set_enabled(s->accept, SD_EVENT_OFF);
        (void)sd_event_source_set_time_relative(s->accept_again, ACCEPT_PAUSE_US);
        (void)sd_event_source_set_enabled(s->accept_again, SD_EVENT_ONESHOT);
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        struct http_server *s = userdata;

        for (unsigned i = 0; i < ACCEPTS_PER_TURN; i++) {
                int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

                if (client >= 0)
                        take_client(s, client);
                else if (errno == EAGAIN)
                        break;
                else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
                                errno == ENOMEM) {
                        pause_accepting(s);
                        break;
                }
        }
        return 0;
}

int http_accept_start(struct http_server *s) {
        int r = sd_event_add_io(s->event, &s->accept, s->listen_fd, EPOLLIN, on_accept, s);

        if (r < 0)
                return r;
        r = sd_event_add_time_relative(
                        s->event, &s->accept_again, CLOCK_MONOTONIC, 0, 0, on_again, s);
        return r < 0 ? r : sd_event_source_set_enabled(s->accept_again, SD_EVENT_OFF);
}

void http_accept_stop(struct http_server *s) {
        struct http_connection *c;

        if (!s->options.http2)
                return;
        s->accept = sd_event_source_disable_unref(s->accept);
        s->accept_again = sd_event_source_disable_unref(s->accept_again);
        s->listen_fd = safe_close(s->listen_fd);
        while ((c = TAILQ_FIRST(&s->hellos)))
                hello_end(c);
}
