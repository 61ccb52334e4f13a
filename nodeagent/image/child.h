/* A process that reads bytes from outside, and the one that started it: lines of JSON between them.
 */
#pragma once

#include <sys/types.h>

#include "lib/json.h"
#include "lib/problem.h"

enum { CHILD_LINE_MAX = 32 << 20 };

struct image_child;
struct image_child_options {
        /* In the new process: reads commands from `in` and writes answers to `out`
         * (image_child_answer), returns its exit code. */
        int (*run)(int in, int out, void *userdata);
        /* In the old one: a "progress" answer; may be NULL. */
        void (*on_progress)(const json_t *answer, void *userdata);
        void *userdata;
        uint64_t deadline_us; /* of the monotonic clock; then it is killed */
};
/* The new process gets all open descriptors, and is killed when this one ends. */
int image_child_start(struct image_child **ret, const struct image_child_options *options,
                struct problem *p);
/* Kills it. */
struct image_child *image_child_free(struct image_child *c);
DEFINE_CLEANUP(struct image_child *, image_child_free);
/* Sends the command (NULL: none) and waits for an answer that is not "progress". *ret: a new
 * reference to an "ok" answer. A "failed" answer, or its end, is an error with p. */
int image_child_ask(struct image_child *c, const json_t *command, json_t **ret, struct problem *p);

/* In the new process: writes one line. Takes answer. */
int image_child_answer(int out, json_t *answer);
/* The same for a problem. Returns what image_child_answer() returns. */
int image_child_answer_problem(int out, const struct problem *p);
/* Reads one line of at most size_max bytes; *ret without the newline. -ENODATA: the end; -EFBIG.
 * Reads byte by byte, because the bytes after the line may be meant for another reader. */
int image_child_read_line(int fd, size_t size_max, char **ret, size_t *ret_size);
