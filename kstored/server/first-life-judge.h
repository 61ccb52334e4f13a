/* Whether a member that begins a cluster with an empty disk does so for the first time, judged by
 * what the other members answer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The answer of one of the others. */
enum first_life_answer {
        FIRST_LIFE_SILENT, /* nothing */
        FIRST_LIFE_NEW,    /* it has never voted or agreed on anything itself, nor heard this one */
        FIRST_LIFE_RUNS,   /* it has, and has never heard this one */
        FIRST_LIFE_KNOWS,  /* this one has taken part before */
};

enum first_life_verdict {
        FIRST_LIFE_WAIT,
        FIRST_LIFE_CONFIRMED,
        FIRST_LIFE_REFUSED,
};

/* answers: of the n others that it was started with; voters: of the cluster as it is now, as far as
 * any reported it.
 *
 * Where nothing was ever agreed on as far as those that answer know, a majority of new members,
 * this one included, begins a cluster. Where a cluster runs, enough of the others must not know
 * this one that every majority it could have been in includes one of them. */
enum first_life_verdict first_life_judge(
                const enum first_life_answer *answers, size_t n, size_t voters);
