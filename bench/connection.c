/* Connections of the benchmarks' clients. */
#include "bench/connection.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum { PER_ADDRESS = 4000 };

static int connect_from(size_t i, uint16_t port) {
        struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
        const int on = 1;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
                return -errno;
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(i / PER_ADDRESS));
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        to.sin_port = htons(port);
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
        if (bind(fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
                        connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) {
                int r = -errno;

                safe_close(fd);
                return r;
        }
        return fd;
}

int connection_open(struct connection *c, struct tls_context *tls, size_t i, uint16_t port) {
        bool want_write;
        int r;

        c->fd = connect_from(i, port);
        if (c->fd < 0)
                return c->fd;
        r = tls_stream_new(&c->tls, tls, c->fd, NULL, "http/1.1");
        if (r < 0)
                return r;
        do
                r = tls_stream_handshake(c->tls, &want_write);
        while (r == -EAGAIN);
        return r;
}

int connection_write(struct connection *c, const void *data, size_t n) {
        const char *p = data;

        while (n > 0) {
                struct pollfd room = {.fd = c->fd, .events = POLLOUT};
                ssize_t r = tls_stream_write(c->tls, p, n);

                if (r == -EAGAIN) {
                        (void)poll(&room, 1, -1);
                        continue;
                }
                if (r <= 0)
                        return r < 0 ? (int)r : -ECONNRESET;
                p += r;
                n -= (size_t)r;
        }
        return 0;
}

int connection_unblock(const struct connection *c) {
        return fcntl(c->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}
