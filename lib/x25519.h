/* X25519 (RFC 7748): a secret that two keys share. GnuTLS of Debian 12 has no call for it; nettle,
 * which is below it, has. */
#pragma once

#include "lib/base.h"

enum { X25519_SIZE = 32 };

/* The public half. */
void x25519_public(const uint8_t secret[static X25519_SIZE], uint8_t ret[static X25519_SIZE]);
/* -EINVAL when the other half is one that gives no secret (RFC 7748 section 6.1). */
int x25519_shared(const uint8_t secret[static X25519_SIZE],
                const uint8_t other[static X25519_SIZE], uint8_t ret[static X25519_SIZE]);
