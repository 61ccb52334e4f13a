/* Random tests: seeds are fixed, so that every run is the same. FUZZ=SECONDS continues with further
 * seeds for that long, FUZZ_SEED=N begins with the one that a failure named. After cmocka. */
#pragma once

#include "lib/base.h"
#include "lib/timefmt.h"

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

static _unused_ uint64_t fuzz_number(const char *name) {
        const char *text = getenv(name);
        uint64_t n = 0;

        if (text && parse_u64(text, &n) < 0)
                fail_msg("%s is not a number: '%s'", name, text);
        return n;
}

/* As fail_msg(), which cuts after 1,024 bytes. */
#define fail_whole(...) (fprintf(stderr, __VA_ARGS__), fprintf(stderr, "\n"), fail())

/* Starts as {0}. */
struct rounds {
        uint64_t seed; /* of this round, from 1 */
        uint64_t last, end_us;
};

/* Whether there is another round: `least` of them, and more while FUZZ's seconds last. */
static _unused_ bool next_round(struct rounds *r, uint64_t least) {
        if (r->last == 0) {
                r->seed = fuzz_number("FUZZ_SEED");
                r->last = MAX(r->seed, (uint64_t)1) + least - 1;
                r->end_us = now_mono_us() + seconds_us((int64_t)fuzz_number("FUZZ"));
                r->seed -= r->seed > 0;
        }
        return ++r->seed <= r->last || now_mono_us() < r->end_us;
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
