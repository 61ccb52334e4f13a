/* Every parser of bytes from outside, as a function of bytes. A row of the table in targets.c is
 * enough for a new one; its seeds are the files of tests/fuzz/corpus/<name>. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fuzz_target {
        const char *name;
        /* text ends with a NUL that is not counted in n. Whatever it is, it must be refused or
         * taken without a fault; what is taken must keep the promises that the function asserts. */
        void (*run)(const char *text, size_t n);
        const char *what; /* for people */
};

extern const struct fuzz_target fuzz_targets[];
extern const size_t fuzz_target_count;
