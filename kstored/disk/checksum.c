/* XXH3 of libxxhash. */
#include "kstored/disk/checksum.h"

#include <xxhash.h>

uint64_t checksum(const void *data, size_t n, uint64_t seed) {
        return XXH3_64bits_withSeed(data, n, seed);
}
