/* Random numbers from a seed, and bytes that are changed by them: for tests of any form. */
#pragma once

#include "lib/base.h"

struct dice {
        uint64_t state;
        bool complete; /* objects have all required fields; no text, list or map is empty */
};

/* splitmix64 */
static _unused_ uint64_t roll(struct dice *d, uint64_t bound) {
        uint64_t z = d->state += 0x9e3779b97f4a7c15;

        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return (z ^ z >> 31) % bound;
}

/* Changes some of n > 0 bytes, and takes pieces of another text over. */
static _unused_ void mutate_bytes(
                struct dice *d, char *text, size_t n, const char *other, size_t other_size) {
        static const char words[] = "()[]{}.,:?!<>+-*/%&|=\"'`rb0x1u e~\\;#@$_\n\t";

        for (uint64_t k = roll(d, 4) + 1; k > 0; k--) {
                size_t at = roll(d, n);

                switch (roll(d, 4)) {
                case 0:
                        text[at] = (char)roll(d, 256);
                        break;
                case 1:
                        text[at] = words[roll(d, sizeof(words) - 1)];
                        break;
                case 2:
                        text[at] = text[roll(d, n)];
                        break;
                default: {
                        size_t from = other_size > 0 ? roll(d, other_size) : 0;
                        size_t left = MIN(n - at, other_size - from);
                        size_t size = MIN(left, (size_t)roll(d, 24));

                        memcpy(text + at, other + from, size);
                }
                }
        }
}
