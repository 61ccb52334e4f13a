/* Listening and connected sockets. A Unix socket's file is replaced only when connecting to it
 * shows that nobody serves it any longer (a daemon that was killed leaves it behind). */
#include "lib/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { BACKLOG = 1024 };

union address {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage storage;
};

static int parse_address(const char *host, uint16_t port, union address *ret, socklen_t *ret_size) {
        union address a = {0};

        if (!host) {
                a.in6.sin6_family = AF_INET6;
                a.in6.sin6_addr = in6addr_any;
                a.in6.sin6_port = htons(port);
                *ret_size = sizeof(a.in6);
        } else if (inet_pton(AF_INET, host, &a.in.sin_addr) == 1) {
                a.in.sin_family = AF_INET;
                a.in.sin_port = htons(port);
                *ret_size = sizeof(a.in);
        } else if (inet_pton(AF_INET6, host, &a.in6.sin6_addr) == 1) {
                a.in6.sin6_family = AF_INET6;
                a.in6.sin6_port = htons(port);
                *ret_size = sizeof(a.in6);
        } else
                return -EINVAL;
        *ret = a;
        return 0;
}

static int listen_error(struct problem *p, int error, const char *where) {
        switch (error) {
        case EADDRINUSE:
                return problem_set(p, error, 0, NULL,
                                "cannot listen on %s: another program listens there; stop it or "
                                "choose another address",
                                where);
        case EACCES:
        case EPERM:
                return problem_set(p, error, 0, NULL,
                                "cannot listen on %s: permission denied; run as root or choose "
                                "an address this user may use",
                                where);
        case EADDRNOTAVAIL:
                return problem_set(p, error, 0, NULL,
                                "cannot listen on %s: this machine does not have that address",
                                where);
        default:
                return problem_set(p, error, 0, NULL, "cannot listen on %s: %s", where,
                                strerror(error));
        }
}

static int bind_tcp(const union address *a, socklen_t size, int *ret_fd) {
        _cleanup_close_ int fd = socket(
                        a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
        const int on = 1, off = 0;

        if (fd < 0)
                return -errno;
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
                return -errno;
        if (a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr))
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
        if (bind(fd, &a->sa, size) < 0 || listen(fd, BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int net_listen_tcp(int *ret_fd, const char *host, uint16_t port, struct problem *p) {
        _cleanup_free_ char *where = strformat(
                        host && strchr(host, ':') ? "[%s]:%u" : "%s:%u", host ? host : "*", port);
        union address a;
        socklen_t size;
        int r;

        if (!where)
                return -ENOMEM;
        r = parse_address(host, port, &a, &size);
        if (r < 0)
                return problem_set(p, EINVAL, 0, NULL, "cannot listen on %s: not a numeric address",
                                where);
        r = bind_tcp(&a, size, ret_fd);
        if (r == -EAFNOSUPPORT && !host) { /* a kernel without IPv6 */
                (void)parse_address("0.0.0.0", port, &a, &size);
                r = bind_tcp(&a, size, ret_fd);
        }
        return r < 0 ? listen_error(p, -r, where) : 0;
}

int net_connect_tcp_start(int *ret_fd, const char *host, uint16_t port) {
        _cleanup_close_ int fd = -EBADF;
        union address a;
        socklen_t size;
        int r = parse_address(host, port, &a, &size);

        if (r < 0)
                return r;
        fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
        if (fd < 0)
                return -errno;
        if (connect(fd, &a.sa, size) < 0 && errno != EINPROGRESS)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

enum { ABSTRACT_BACKLOG = 8 };

/* A socket, and the address of that name. */
static int abstract_socket(const char *name, union address *ret, socklen_t *ret_size) {
        int fd;

        *ret = (union address){.un.sun_family = AF_UNIX};
        if (isempty(name) || strlen(name) + 1 > sizeof(ret->un.sun_path))
                return -EINVAL;
        memcpy(ret->un.sun_path + 1, name, strlen(name));
        *ret_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        return fd < 0 ? -errno : fd;
}

int net_listen_abstract(int *ret_fd, const char *name) {
        union address a;
        socklen_t size;
        _cleanup_close_ int fd = abstract_socket(name, &a, &size);

        if (fd < 0)
                return fd;
        if (bind(fd, &a.sa, size) < 0 || listen(fd, ABSTRACT_BACKLOG) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

int net_connect_abstract(int *ret_fd, const char *name) {
        union address a;
        socklen_t size;
        _cleanup_close_ int fd = abstract_socket(name, &a, &size);

        if (fd < 0)
                return fd;
        if (connect(fd, &a.sa, size) < 0)
                return -errno;
        *ret_fd = TAKE_FD(fd);
        return 0;
}

static bool unix_socket_is_served(const union address *a, socklen_t size) {
        _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

        return fd >= 0 && (connect(fd, &a->sa, size) == 0 || errno == EAGAIN);
}

int net_listen_unix(int *ret_fd, const char *path, unsigned mode, struct problem *p) {
        _cleanup_close_ int fd = -EBADF;
        union address a = {.un.sun_family = AF_UNIX};
        struct stat st;

        if (strlen(path) >= sizeof(a.un.sun_path))
                return problem_set(p, ENAMETOOLONG, 0, NULL,
                                "cannot listen on %s: a Unix socket's path has at most %zu bytes",
                                path, sizeof(a.un.sun_path) - 1);
        memcpy(a.un.sun_path, path, strlen(path) + 1);
        if (lstat(path, &st) == 0) {
                if (!S_ISSOCK(st.st_mode) || unix_socket_is_served(&a, sizeof(a.un)))
                        return listen_error(p, EADDRINUSE, path);
                if (unlink(path) < 0 && errno != ENOENT)
                        return listen_error(p, errno, path);
        }
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return listen_error(p, errno, path);
        /* The mode is right before anybody can connect: there is no connection before listen(). */
        if (bind(fd, &a.sa, sizeof(a.un)) < 0 || chmod(path, mode ? mode : 0600) < 0 ||
                        listen(fd, BACKLOG) < 0)
                return listen_error(p, errno, path);
        *ret_fd = TAKE_FD(fd);
        return 0;
}

uint16_t net_port(int fd) {
        union address a;
        socklen_t size = sizeof(a);

        if (getsockname(fd, &a.sa, &size) < 0)
                return 0;
        if (a.sa.sa_family == AF_INET)
                return ntohs(a.in.sin_port);
        return a.sa.sa_family == AF_INET6 ? ntohs(a.in6.sin6_port) : 0;
}

void net_tune(int fd) {
        const int on = 1, idle_s = 20, interval_s = 10, count = 3, unacked_ms = 45000;

        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                return; /* not TCP */
        (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
        (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unacked_ms, sizeof(unacked_ms));
}

const char *net_peer_name(int fd, char buffer[static NET_ADDRESS_SIZE]) {
        char text[INET6_ADDRSTRLEN] = "?";
        union address a;
        socklen_t size = sizeof(a);

        if (getpeername(fd, &a.sa, &size) < 0)
                a.sa.sa_family = AF_UNSPEC;
        if (a.sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a.in6.sin6_addr)) {
                (void)inet_ntop(AF_INET, &a.in6.sin6_addr.s6_addr[12], text, sizeof(text));
                (void)snprintf(buffer, NET_ADDRESS_SIZE, "%s:%u", text, ntohs(a.in6.sin6_port));
        } else if (a.sa.sa_family == AF_INET6) {
                (void)inet_ntop(AF_INET6, &a.in6.sin6_addr, text, sizeof(text));
                (void)snprintf(buffer, NET_ADDRESS_SIZE, "[%s]:%u", text, ntohs(a.in6.sin6_port));
        } else if (a.sa.sa_family == AF_INET) {
                (void)inet_ntop(AF_INET, &a.in.sin_addr, text, sizeof(text));
                (void)snprintf(buffer, NET_ADDRESS_SIZE, "%s:%u", text, ntohs(a.in.sin_port));
        } else
                (void)snprintf(buffer, NET_ADDRESS_SIZE, "%s",
                                a.sa.sa_family == AF_UNIX ? "@unix" : "?");
        return buffer;
}

int net_send_file(int socket, const struct sockaddr *to, socklen_t to_size, const char *text,
                int fd) {
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec v = {(void *)(uintptr_t)text, strlen(text)};
        struct msghdr h = {.msg_name = (void *)(uintptr_t)to,
                        .msg_namelen = to_size,
                        .msg_iov = &v,
                        .msg_iovlen = 1};

        if (fd >= 0) {
                h.msg_control = &control;
                h.msg_controllen = sizeof(control);
                control.header = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS};
                memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
        }
        return sendmsg(socket, &h, MSG_NOSIGNAL) < 0 ? -errno : 0;
}
