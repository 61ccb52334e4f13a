/* Many requests, one after the other on each of several connections: little more than TLS, so that
 * the rate is the server's. */
#pragma once

#include "bench/connection.h"

struct requests_options {
        struct tls_context *tls;
        uint16_t port;
        unsigned long count, connections;
        /* Appends the i-th request, whole. */
        int (*write)(struct buf *out, unsigned long i, void *userdata);
        void *userdata;
};

/* Opens the connections, then sends all requests and waits for their answers; each must be a
 * success. ret_us: how long it took, without the handshakes. p says what the
 * first answer that was none said. */
int requests_run(const struct requests_options *o, uint64_t *ret_us, struct problem *p);
