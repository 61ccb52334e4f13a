/* A set of small numbers as sorted ranges, which is short where neighbours are in it together. Its
 * text is that of a Job's completedIndexes: "1,3-5,7"; two neighbours are written "3,4". */
#pragma once

#include "lib/base.h"

struct range {
        uint32_t first, last; /* both are in it */
};
/* A vector (lib/vector.h): sorted, and no two touch. Zero-initialise for the empty set. */
struct ranges {
        struct range *items;
        size_t count, allocated;
};
void ranges_done(struct ranges *r);
#define _cleanup_ranges_ _cleanup_(ranges_done)

/* Reads the text; NULL or "" is the empty set. Numbers must rise and be below `limit`, and there
 * are at most RANGES_MAX ranges. Replaces what *ret holds; unchanged on failure. -EINVAL (what is
 * wrong, as a predicate like "must be ascending", in *ret_error, a constant, may be NULL),
 * -ENOMEM. */
enum { RANGES_MAX = 100000 };
int ranges_parse(const char *text, uint32_t limit, struct ranges *ret, const char **ret_error);
/* Caller frees; NULL when out of memory. */
char *ranges_text(const struct ranges *r) _warn_unused_;
/* Adds one number. 0 or -ENOMEM. */
int ranges_add(struct ranges *r, uint32_t n);
bool ranges_have(const struct ranges *r, uint32_t n);
/* The smallest number from `from` on that is not in it. */
uint32_t ranges_next_free(const struct ranges *r, uint32_t from);
/* How many numbers are in it. */
uint64_t ranges_count(const struct ranges *r);
/* How many numbers are in both. */
uint64_t ranges_count_common(const struct ranges *a, const struct ranges *b);
