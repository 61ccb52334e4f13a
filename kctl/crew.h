/* Jobs that run at the same time, a process each: SSH blocks, and a failure of one must not hold
 * the others. What a job prints comes to the parent line by line. */
#pragma once

#include "lib/base.h"
#include "lib/problem.h"

enum { CREW_PARALLEL_MAX = 16, CREW_LINE_MAX = 64 << 10 };

struct crew {
        size_t count;
        size_t parallel_max; /* 0: CREW_PARALLEL_MAX */
        /* In a process of its own, with standard output and error that lead to the parent, and
         * nothing to read; returns the exit code. */
        int (*job)(size_t i, void *userdata);
        /* All of these in the parent; each may be NULL. A line has no newline; one that is longer
         * than CREW_LINE_MAX comes in pieces. */
        void (*on_start)(size_t i, void *userdata);
        void (*on_line)(size_t i, bool is_stderr, const char *line, void *userdata);
        void (*on_end)(size_t i, int code, void *userdata); /* exit code; 128 + signal */
        void (*on_tick)(void *userdata); /* several times a second, and after the last end */
        void *userdata;
};

/* Runs all of them. 0 when every job ran, whatever its exit code. */
int crew_run(const struct crew *c, struct problem *p);
