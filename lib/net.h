/* Sockets for servers: listening with errors a user understands, and the options every connection
 * gets. */
#pragma once

#include <sys/socket.h>

#include "lib/base.h"
#include "lib/problem.h"

enum { NET_ADDRESS_SIZE = 64 };

/* host: numeric address, or NULL for every one (IPv6 and IPv4). Non-blocking, close-on-exec. */
int net_listen_tcp(int *ret_fd, const char *host, uint16_t port, struct problem *p);
/* Begins to connect to a numeric address: the socket is writable when that has succeeded or failed.
 * -EINVAL: it is none. */
int net_connect_tcp_start(int *ret_fd, const char *host, uint16_t port);
/* Abstract Unix sockets, of a name that the kernel keeps while there is one: any process of the
 * machine may connect, so who listens asks who it is (SO_PEERCRED). */
int net_listen_abstract(int *ret_fd, const char *name);
int net_connect_abstract(int *ret_fd, const char *name);
/* Replaces a socket file without a listener; -EADDRINUSE when it has one. mode 0: 0600. */
int net_listen_unix(int *ret_fd, const char *path, unsigned mode, struct problem *p);
/* The local port of a TCP socket; 0 for others. */
uint16_t net_port(int fd);
/* For a connected socket: no delay, and a dead peer is noticed within about a minute. Does nothing
 * on Unix sockets. */
void net_tune(int fd);
/* One packet on a Unix socket with a file (negative: none), which is borrowed. to: NULL on a
 * connected socket. */
int net_send_file(int socket, const struct sockaddr *to, socklen_t to_size, const char *text,
                int fd);
/* "10.0.0.1:5000", "[::1]:5000", "@unix". */
const char *net_peer_name(int fd, char buffer[static NET_ADDRESS_SIZE]);
