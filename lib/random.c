/* Kernel randomness; getrandom() does not fail once the pool is ready. */
#include "lib/random.h"

#include <sys/random.h>

#include "lib/siphash.h"

void random_bytes(void *p, size_t n) {
        char *at = p;

        while (n > 0) {
                ssize_t k = getrandom(at, n, 0);

                if (k < 0) {
                        assert(errno == EINTR);
                        continue;
                }
                at += k;
                n -= (size_t)k;
        }
}

uint64_t random_u64(void) {
        uint64_t v;

        random_bytes(&v, sizeof(v));
        return v;
}

uint64_t random_below(uint64_t bound) {
        uint64_t limit, v;

        assert(bound > 0);
        limit = UINT64_MAX - UINT64_MAX % bound;
        do
                v = random_u64();
        while (v >= limit);
        return v % bound;
}

static const char *uuid_text(unsigned char b[static 16], char buffer[static UUID_SIZE]) {
        static const char digits[] = "0123456789abcdef";
        char *at = buffer;

        b[6] = (b[6] & 0x0f) | 0x40;
        b[8] = (b[8] & 0x3f) | 0x80;
        for (size_t i = 0; i < 16; i++) {
                if (i == 4 || i == 6 || i == 8 || i == 10)
                        *at++ = '-';
                *at++ = digits[b[i] >> 4];
                *at++ = digits[b[i] & 0x0f];
        }
        *at = 0;
        return buffer;
}

const char *random_uuid(char buffer[static UUID_SIZE]) {
        unsigned char b[16];

        random_bytes(b, sizeof(b));
        return uuid_text(b, buffer);
}

const char *uuid_next(struct uuid_source *s, char buffer[static UUID_SIZE]) {
        uint64_t halves[2];
        unsigned char b[16];

        if (s->count == 0)
                random_bytes(s->key, sizeof(s->key));
        for (size_t i = 0; i < ELEMENTS(halves); i++) {
                s->count++;
                halves[i] = siphash(s->key, &s->count, sizeof(s->count));
        }
        memcpy(b, halves, sizeof(b));
        return uuid_text(b, buffer);
}

void random_name_suffix(char *buffer, size_t n) {
        static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";

        for (size_t i = 0; i < n; i++)
                buffer[i] = alphabet[random_below(sizeof(alphabet) - 1)];
        buffer[n] = 0;
}
