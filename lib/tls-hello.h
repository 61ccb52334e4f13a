/* The first message of a TLS client (RFC 8446 section 4.1.2), read before anybody answers it. */
#pragma once

#include "lib/base.h"

/* As much of a connection's beginning as is looked at. */
enum { TLS_HELLO_SIZE_MAX = 16 << 10 };

/* Whether the client offers the protocol by ALPN (RFC 7301). 1; 0: it does not, or these bytes are
 * not such a message; -EAGAIN: too few bytes to know. */
int tls_hello_offers(const void *data, size_t n, const char *protocol);
