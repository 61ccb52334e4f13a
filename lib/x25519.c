/* nettle's two functions. */
#include "lib/x25519.h"

#include <nettle/curve25519.h>

_Static_assert(X25519_SIZE == CURVE25519_SIZE, "RFC 7748");

void x25519_public(const uint8_t secret[static X25519_SIZE], uint8_t ret[static X25519_SIZE]) {
        curve25519_mul_g(ret, secret);
}

int x25519_shared(const uint8_t secret[static X25519_SIZE],
                const uint8_t other[static X25519_SIZE], uint8_t ret[static X25519_SIZE]) {
        uint8_t any = 0;

        curve25519_mul(ret, secret, other);
        for (size_t i = 0; i < X25519_SIZE; i++)
                any |= ret[i];
        return any ? 0 : -EINVAL;
}
