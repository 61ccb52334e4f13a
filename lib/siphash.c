/* SipHash-2-4 as Aumasson and Bernstein have it. */
#include "lib/siphash.h"

static uint64_t rotate(uint64_t v, unsigned bits) {
        return v << bits | v >> (64 - bits);
}

static void rounds(uint64_t v[static 4], unsigned count) {
        for (; count > 0; count--) {
                v[0] += v[1];
                v[1] = rotate(v[1], 13) ^ v[0];
                v[0] = rotate(v[0], 32);
                v[2] += v[3];
                v[3] = rotate(v[3], 16) ^ v[2];
                v[0] += v[3];
                v[3] = rotate(v[3], 21) ^ v[0];
                v[2] += v[1];
                v[1] = rotate(v[1], 17) ^ v[2];
                v[2] = rotate(v[2], 32);
        }
}

static void mix(uint64_t v[static 4], uint64_t word) {
        v[3] ^= word;
        rounds(v, 2);
        v[0] ^= word;
}

/* The first of them are the lowest. */
static uint64_t word_of(const unsigned char *at, size_t n) {
        uint64_t word = 0;

        while (n-- > 0)
                word = word << 8 | at[n];
        return word;
}

uint64_t siphash(const uint64_t key[static 2], const void *data, size_t n) {
        uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575),
                        key[1] ^ UINT64_C(0x646f72616e646f6d),
                        key[0] ^ UINT64_C(0x6c7967656e657261),
                        key[1] ^ UINT64_C(0x7465646279746573)};
        const unsigned char *at = data;
        size_t left = n;

        for (; left >= 8; left -= 8, at += 8)
                mix(v, word_of(at, 8));
        mix(v, (uint64_t)n << 56 | word_of(at, left));
        v[2] ^= 0xff;
        rounds(v, 4);
        return v[0] ^ v[1] ^ v[2] ^ v[3];
}
