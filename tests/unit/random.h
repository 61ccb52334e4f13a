/* Random tests: seeds are fixed, so that every run is the same. FUZZ=SECONDS continues with further
 * seeds for that long, FUZZ_SEED=N begins with the one that a failure named. After cmocka. */
#pragma once

#include "lib/timefmt.h"
#include "tests/unit/dice.h"

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
