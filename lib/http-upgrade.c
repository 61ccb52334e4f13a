/* Connections that leave HTTP (RFC 9110 section 7.8). libmicrohttpd says so inside of MHD_run();
 * the program gets the connection after the run, when it may do anything with it. For TLS
 * libmicrohttpd 0.9.75 would carry the bytes between its session and a pair of sockets, four at a
 * time, because the head of the answer has taken its memory; so its session is read and written
 * here, through lib/tls.h, and libmicrohttpd only keeps it. The program's handle and
 * libmicrohttpd's request end in either order: the handle is freed with the request. */
#include "lib/http-server-internal.h"

#include <fcntl.h>

static void opened_unlink(struct http_upgrade *u) {
        if (!u->waiting)
                return;
        TAILQ_REMOVE(&u->server->opened, u, entry);
        u->waiting = false;
}

static void on_upgraded(void *userdata, struct MHD_Connection *mhd, void *context,
                const char *extra, size_t n, MHD_socket fd, struct MHD_UpgradeResponseHandle *urh) {
        struct http_upgrade *u = userdata;

        u->urh = urh;
        u->fd = u->request->connection->fd;
        /* At once: libmicrohttpd would read the first bytes still in this run. */
        u->request->connection->transport.taken = true;
        (void)fcntl(u->fd, F_SETFL, O_NONBLOCK);
        if (n > 0 && buf_append(&u->extra, extra, n) < 0)
                u->fd = -EBADF;
        TAILQ_INSERT_TAIL(&u->server->opened, u, entry);
        u->waiting = true;
}

ssize_t http_upgrade_read(struct http_upgrade *u, void *p, size_t n) {
        struct http_connection *c = u->request->connection;
        ssize_t r;

        if (c->tls)
                return tls_transport_read(&c->transport, p, n);
        r = recv(u->fd, p, n, 0);
        return r < 0 ? errno == EINTR ? -EAGAIN : -errno : r;
}

ssize_t http_upgrade_write(struct http_upgrade *u, const void *p, size_t n) {
        struct http_connection *c = u->request->connection;
        ssize_t r;

        if (c->tls)
                return tls_transport_write(&c->transport, p, n);
        r = send(u->fd, p, n, MSG_NOSIGNAL);
        return r < 0 ? errno == EINTR ? -EAGAIN : -errno : r;
}

void http_upgrades_tell_open(struct http_server *server) {
        struct http_upgrade *u;

        while ((u = TAILQ_FIRST(&server->opened))) {
                opened_unlink(u);
                if (u->released || u->fd < 0)
                        http_upgrade_stop(u);
                else
                        u->handler->on_open(u, u->fd, u->extra.data, u->extra.size, u->userdata);
        }
}

struct http_upgrade *http_upgrade_begin(struct http_request *r,
                const struct http_upgrade_handler *handler, void *userdata) {
        struct http_upgrade *u;
        struct MHD_Response *response;

        if (r->h2) {
                static const char text[] = "an upgrade needs HTTP/1.1\n";

                http_respond(r, 505, "text/plain", text, sizeof(text) - 1);
                return NULL;
        }
        u = calloc(1, sizeof(*u));
        response = u ? MHD_create_response_for_upgrade(on_upgraded, u) : NULL;

        if (!response) {
                free(u);
                http_respond(r, 500, "text/plain", "out of memory\n", 14);
                return NULL;
        }
        *u = (struct http_upgrade){.server = r->server,
                        .request = r,
                        .handler = handler,
                        .userdata = userdata,
                        .fd = -EBADF};
        r->upgrade = u;
        http_request_answer(r, MHD_HTTP_SWITCHING_PROTOCOLS, response);
        return u;
}

/* libmicrohttpd closes the socket in its next run. */
static void give_back(struct http_upgrade *u) {
        if (!u->urh)
                return;
        (void)MHD_upgrade_action(TAKE_PTR(u->urh), MHD_UPGRADE_ACTION_CLOSE);
        http_server_run_soon(u->server);
}

void http_upgrade_end(struct http_upgrade *u) {
        assert(!u->released);
        u->released = true;
        opened_unlink(u);
        give_back(u);
}

void http_upgrade_stop(struct http_upgrade *u) {
        if (!u)
                return;
        opened_unlink(u);
        if (!u->released) {
                u->released = true;
                u->handler->on_gone(u, u->userdata);
        }
        give_back(u);
}

void http_upgrade_detach(struct http_upgrade *u) {
        if (!u)
                return;
        u->urh = NULL; /* gone with the connection */
        http_upgrade_stop(u);
        u->request->upgrade = NULL;
        buf_done(&u->extra);
        free(u);
}
