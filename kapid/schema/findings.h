/* Findings of validation: a list of causes in the API's words, made into one 422 at the end. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/buf.h"

enum finding {
        FINDING_REQUIRED,
        FINDING_INVALID,
        FINDING_NOT_SUPPORTED,
        FINDING_DUPLICATE,
        FINDING_FORBIDDEN,
        FINDING_TOO_LONG,
        FINDING_TOO_MANY,
        FINDING_TYPE,
        FINDING_NOT_FOUND,
};

enum { FINDINGS_MAX = 100 }; /* that are kept */

/* Zero-initialise. Walks keep the path of the value at hand in `path` (findings_push/pop). */
struct findings {
        json_t *causes; /* NULL until the first */
        struct buf path;
        size_t body_at;         /* where in path the validated value's own path begins */
        bool failed;            /* out of memory */
        bool gave_up;           /* a pattern cost too much: whether it matches is not known */
        uint64_t pattern_steps; /* spent on patterns: pattern_match() */
        uint64_t (*now_us)(void *clock); /* NULL: the wall's; called often (findings_tick()) */
        void *clock;
        unsigned ticks;
        bool built_in; /* messages as typed validation words them; else as schema validation does */
        bool domains;  /* finalizers beside the standard ones need a domain */
};
void findings_done(struct findings *f);
#define _cleanup_findings_ _cleanup_(findings_done)

/* Appends ".name", "[i]" or "[name]" to the path; returns the length to give to pop. */
size_t findings_push(struct findings *f, const char *name);
size_t findings_push_index(struct findings *f, size_t i);
size_t findings_push_key(struct findings *f, const char *key);
void findings_pop(struct findings *f, size_t length);
/* A value is looked at: now and then asks for the time. */
void findings_tick(struct findings *f);
/* Validates each entry of the list holder[field], with its path pushed. */
void findings_each(struct findings *f, const json_t *holder, const char *field,
                void (*validate)(struct findings *f, const json_t *entry));

/* Adds one at the path's end plus an optional relative path ("metadata.name"); value may be NULL
 * (it is then not shown), detail may be NULL. */
void finding_add(struct findings *f, enum finding what, const char *relative, const json_t *value,
                const char *fmt, ...) _printf_(5, 6);
size_t findings_count(const struct findings *f);
/* 0 when nothing was found, else -EINVAL with the 422 in p. */
int findings_problem(const struct findings *f, const struct kind *k, const char *kind_word,
                const char *name, struct problem *p);
