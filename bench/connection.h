/* Connections of the benchmarks' clients: HTTP/1.1 over TLS to this machine, kept open. */
#pragma once

#include "lib/tls.h"

struct connection {
        struct tls_stream *tls;
        int fd;
};

/* The i-th connection to this port of 127.0.0.1, its handshake done; waits. From one address come
 * at most 4,000, because the server takes half of all from one. */
int connection_open(struct connection *c, struct tls_context *tls, size_t i, uint16_t port);
/* All of it; waits. */
int connection_write(struct connection *c, const void *data, size_t n);
/* From now on reading does not wait. */
int connection_unblock(const struct connection *c);
