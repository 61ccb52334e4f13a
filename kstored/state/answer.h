/* The answer to a request, or most of it: text as it stands, and between it ranges of rows that are
 * read when they are sent. While it is built messages may be opened and closed in it as in a
 * buffer; their lengths, which come before what they hold, are filled in once those of the ranges
 * are known. Zero-initialise to start. */
#pragma once

#include "kstored/mvcc/range-read.h"

struct answer_part;

struct kv_answer {
        struct buf text;
        struct answer_part *parts; /* in the order of their positions in the text */
        size_t count, allocated;
        size_t open;      /* the innermost message that is open, plus 1 */
        int64_t hold_rev; /* rows of this revision and later are still needed; 0: none */
        bool failed;
        bool lazy; /* every range is read later: the client does not read what it has */
        /* being planned, or written */
        bool planned;
        size_t at, text_at;
        uint64_t size;
};

void answer_done(struct kv_answer *a);
#define _cleanup_answer_ _cleanup_(answer_done)

/* An embedded message: what answer_begin() gives goes to answer_end(). */
size_t answer_begin(struct kv_answer *a, unsigned field);
void answer_end(struct kv_answer *a, size_t mark);
/* Puts a range here; takes it (NULL: out of memory, which the answer remembers). hold_rev: the
 * revision whose rows it shows. */
void answer_range(struct kv_answer *a, struct range_read *x, int64_t hold_rev);
/* Puts all of more behind it, which is empty then; no message is open in that. */
void answer_append(struct kv_answer *a, struct kv_answer *more);
/* Whether it contains a range. */
bool answer_is_long(const struct kv_answer *a);
/* Whether memory was short while it was built. */
bool answer_failed(const struct kv_answer *a);
size_t answer_bytes(const struct kv_answer *a);

/* As of range_read_plan() and range_read_write(), for the whole. */
int answer_plan(struct kv_answer *a, struct mvcc *m, work_left *work);
int answer_write(struct kv_answer *a, struct mvcc *m, struct buf *out, size_t size_max,
                work_left *work);
void answer_let_go(struct kv_answer *a);
/* Both to the end, into a buffer: for tests and other programs than the server. */
int answer_whole(struct kv_answer *a, struct mvcc *m, struct buf *out);
