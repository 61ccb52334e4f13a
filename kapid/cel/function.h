/* Functions of expressions: a library is a table of rows. Everything about a function is in its
 * row, so that the checker, the evaluator and the cost follow from it.
 *
 * A row's function is called only with arguments of the kinds that its signature names (dyn and
 * parameters: any), none of them an error. It returns a value; errors are values. */
#pragma once

#include "kapid/cel/value.h"

/* Sizes (of a value, in items, entries or bytes) and costs before anything is evaluated. */
struct cel_range {
        uint64_t min, max;
};

/* What a call costs besides its arguments; NULL: 1. */
typedef uint64_t (*cel_cost)(
                const struct cel_value *args, size_t n, const struct cel_value *result);
/* The same from sizes of the arguments (the receiver first), and the size of the result (preset:
 * not known). NULL: cost 1. */
typedef void (*cel_estimate)(const struct cel_range *args, size_t n, struct cel_range *ret_cost,
                struct cel_range *ret_size);

enum cel_row_flag {
        CEL_MEMBER = 1 << 0, /* x.name(y): x is the first argument */
};

struct cel_row {
        const char *name; /* "split", "sets.contains", "_+_" */
        unsigned flags;
        /* "(string, string) -> list(string)". Types: dyn null bool int uint double string bytes
           timestamp duration type list(T) map(K, V) optional(T), opaque ones by their names
           ("net.IP"), and single capital letters: parameters. */
        const char *signature;
        struct cel_value (*call)(struct cel_run *run, const struct cel_value *args, size_t n);
        cel_cost cost;
        cel_estimate estimate;
        const char *overload; /* id in messages and rare special cases; may be NULL */
};

/* Objects that expressions make: NAME{field: value}. */
struct cel_message {
        const char *name;               /* "JSONPatch" */
        const struct cel_field *fields; /* by name; none: any field, of any type */
        size_t field_count;
        bool has_parts; /* NAME.a.b{} are objects, too */
};

/* A name that stands for a value in every expression: types ("int", "net.IP"). */
struct cel_library {
        const char *name;
        const struct cel_row *rows;
        size_t row_count;
        const struct cel_opaque_class *const *classes; /* also names of types in expressions */
        size_t class_count;
        const struct cel_message *messages;
        size_t message_count;
};
/* All that there are: the standard one and Kubernetes'. kapid/cel/libraries.c: a line for each. */
extern const struct cel_library *const cel_libraries[]; /* NULL-terminated */

/* Costs as Kubernetes counts. Size: bytes of texts... of strings code points, items, entries; 1
 * for everything else. */
uint64_t cel_size_for_cost(struct cel_value v);
/* ceil(size / 10): going through a text once; through a range of sizes. */
uint64_t cel_cost_text(uint64_t size);
struct cel_range cel_range_text(struct cel_range size);
/* No overflow: UINT64_MAX is the end. */
uint64_t cel_cost_add(uint64_t a, uint64_t b);
uint64_t cel_cost_multiply(uint64_t a, uint64_t b);
struct cel_range cel_range_add(struct cel_range a, struct cel_range b);
struct cel_range cel_range_multiply(struct cel_range a, struct cel_range b);

/* Adds cost inside a function whose work is not known before; false when the budget or the time is
 * spent: return cel_spent() then. Long loops call it. */
bool cel_spend(struct cel_run *run, uint64_t cost) _warn_unused_;
struct cel_value cel_spent(struct cel_run *run);
/* Work that costs nothing: so many bytes were read, written or compared. The deadline is looked at
 * by the sum of it; false as of cel_spend. */
bool cel_work(struct cel_run *run, uint64_t bytes);

/* A pattern in RE2's syntax, compiled and kept for this evaluation; NULL with an error value in
 * *ret_error. */
struct pattern;
struct pattern *cel_pattern(
                struct cel_run *run, struct cel_value text, struct cel_value *ret_error);
/* The counter for pattern_match(). */
uint64_t *cel_pattern_steps(struct cel_run *run);
