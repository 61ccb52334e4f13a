/* Whether a history of operations on a store could have happened one at a time (Herlihy and Wing's
 * linearizability): the search of Wing and Gong, "Testing and Verifying Concurrent Objects" (1993),
 * with the memory of Lowe, "Testing for linearizability" (2017), key by key. No clock and no chance
 * in it: the same history gives the same answer.
 *
 * A key holds nothing or a text. An append puts its argument behind a blank at the end of the text,
 * or makes the text when there is none; so texts are lists of words, too. */
#pragma once

#include "lib/base.h"
#include "lib/buf.h"

enum linear_kind {
        LINEAR_READ,
        LINEAR_WRITE,
        LINEAR_CAS, /* compare with expected, and write argument when equal */
        LINEAR_DELETE,
        LINEAR_APPEND,
};

enum linear_outcome {
        LINEAR_UNKNOWN, /* happened at any time after its start, or never */
        LINEAR_KNOWN,   /* happened between start and end */
        LINEAR_FAILED,  /* did not happen */
};

enum linear_flags {
        /* result is the value before it. Reads have it always. */
        LINEAR_SAW = 1 << 0,
        /* A cas found what it expected, and wrote. */
        LINEAR_SWAPPED = 1 << 1,
};

struct linear_op {
        unsigned client;
        enum linear_kind kind;
        enum linear_outcome outcome;
        unsigned flags;
        char *key;
        char *argument;            /* of write, cas and append */
        char *expected;            /* of cas; NULL: that there is nothing */
        char *result;              /* see LINEAR_SAW; NULL: there was nothing */
        uint64_t start_ns, end_ns; /* end_ns counts only for known ones */
};

/* Operations as they are recorded; zero-initialise to start. Texts are copied. */
struct linear_history {
        struct linear_op *ops;
        size_t count, allocated;
};

void linear_history_done(struct linear_history *h);
/* Begins an operation, of unknown outcome until linear_end(). Its number, or -ENOMEM. */
ssize_t linear_begin(struct linear_history *h, unsigned client, enum linear_kind kind,
                const char *key, const char *argument, const char *expected, uint64_t now_ns);
int linear_end(struct linear_history *h, size_t number, enum linear_outcome outcome, unsigned flags,
                const char *result, uint64_t now_ns);
/* One operation on a line, with the times since zero_ns in milliseconds. */
void linear_print(struct buf *b, const struct linear_op *op, uint64_t zero_ns);

enum linear_verdict {
        LINEAR_OK,
        LINEAR_VIOLATION,
        LINEAR_GAVE_UP, /* the work allowed was not enough to know: a failure too */
};

struct linear_report {
        enum linear_verdict verdict;
        size_t keys, failed_keys;
        uint64_t work; /* places tried for operations, all keys together */
        /* Of the failing key with the least to read; empty when all is well: its history until the
         * first operation that no order explains. */
        char *key;
        size_t op_count;
        char *text;
};

void linear_report_done(struct linear_report *r);
#define _cleanup_linear_report_ _cleanup_(linear_report_done)

/* work_max bounds the places tried for operations of one key; 0: LINEAR_WORK_MAX. -ENOMEM. */
enum { LINEAR_WORK_MAX = 5000000 };
int linear_check(const struct linear_op *ops, size_t count, uint64_t work_max,
                struct linear_report *ret);
