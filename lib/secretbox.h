/* NaCl's secretbox: XSalsa20 and Poly1305 (https://nacl.cr.yp.to/secretbox.html), with a random
 * nonce of 24 bytes in front. For formats of others; what is ours is sealed by lib/crypto's. */
#pragma once

#include "lib/base.h"

enum { SECRETBOX_KEY_SIZE = 32, SECRETBOX_NONCE_SIZE = 24, SECRETBOX_TAG_SIZE = 16 };

/* Writes nonce, tag and the n bytes. */
void secretbox_seal(const uint8_t key[static SECRETBOX_KEY_SIZE], const void *data, size_t n,
                void *ret);
/* Writes n less the sizes of nonce and tag. -EBADMSG when they are not what was sealed. */
int secretbox_open(const uint8_t key[static SECRETBOX_KEY_SIZE], const void *sealed, size_t n,
                void *ret);
