/* Patterns of schemas: RE2's syntax as Kubernetes takes it (unanchored unless written so), carried
 * out by PCRE2 with bounds. Nothing that a pattern or a value says takes more than a known time or
 * memory. */
#pragma once

#include "lib/buf.h"

enum {
        PATTERN_SIZE_MAX = 4096,
        PATTERN_REPEAT_MAX = 1000, /* RE2's bound on {n,m}, and on the product of nested ones */
        PATTERN_DEPTH_MAX = 200,   /* parentheses in each other */
        /* Limit for all patterns of one object together, in PCRE2's steps: some tenths of a
           second. */
        PATTERN_STEPS_MAX = 8 * 1000 * 1000,
};

/* Holds the compiled form of what was used lately, bounded in number and bytes. */
struct pattern_cache;
struct pattern_cache *pattern_cache_new(void) _warn_unused_;
struct pattern_cache *pattern_cache_free(struct pattern_cache *c);
DEFINE_CLEANUP(struct pattern_cache *, pattern_cache_free);
/* How many compiled patterns it holds now. */
size_t pattern_cache_count(const struct pattern_cache *c);

/* Writes the pattern as PCRE2 takes it. -EINVAL with a sentence in *ret_error (caller frees) when
 * it is not an RE2 pattern or is beyond the bounds; linear in its length. Pure. */
int pattern_translate(const char *pattern, struct buf *ret, char **ret_error);

struct pattern;
/* Checks the syntax; compiles nothing yet. The cache must live longer. Errors as pattern_translate.
 */
int pattern_new(struct pattern **ret, struct pattern_cache *cache, const char *text,
                char **ret_error);
struct pattern *pattern_free(struct pattern *p);
const char *pattern_text(const struct pattern *p);
/* Compiles it if needed: for definitions that are just written. Adds the bytes that it takes to
 * *size (may be NULL). -EINVAL with a sentence when PCRE2 refuses it. */
int pattern_compile(struct pattern *p, size_t *size, char **ret_error);
/* 1: matches somewhere in the text of n bytes (valid UTF-8); 0: does not; -E2BIG: gave up, it costs
 * more than what is left of PATTERN_STEPS_MAX; -ENOMEM. Adds what it may have cost to *steps. */
int pattern_match(struct pattern *p, const char *text, size_t n, uint64_t *steps);
/* The same from a byte on that begins a code point (or n), and where the first match is. What is
 * before `from` still counts: ^ matches at the text's beginning only. */
int pattern_find(struct pattern *p, const char *text, size_t n, size_t from, uint64_t *steps,
                size_t *ret_start, size_t *ret_end);
