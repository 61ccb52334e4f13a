/* SipHash-2-4: a hash of bytes under a secret key, for tables whose keys come from outside. Nobody
 * without the key finds keys that fall on one place. */
#pragma once

#include "lib/base.h"

uint64_t siphash(const uint64_t key[static 2], const void *data, size_t n);
