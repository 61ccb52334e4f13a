/* What the parts of kapid/cel/ share: the tree of an expression, programs, runs. */
#pragma once

#include "kapid/cel/arena.h"
#include "kapid/cel/cel.h"
#include "lib/buf.h"
#include "lib/vector.h"

enum cel_expr_kind {
        CEL_EXPR_CONST,
        CEL_EXPR_IDENT,
        CEL_EXPR_SELECT,
        CEL_EXPR_CALL,
        CEL_EXPR_LIST,
        CEL_EXPR_MAP,     /* args: key, value, key, value... */
        CEL_EXPR_FOLD,    /* a macro over a list or map, or cel.bind */
        CEL_EXPR_MESSAGE, /* NAME{...}; args as of a map, keys are constants */
};

/* What the evaluator does itself; CEL_OP_CALL: a row of the tables. */
enum cel_op {
        CEL_OP_CALL,
        CEL_OP_AND,
        CEL_OP_OR,
        CEL_OP_CONDITION,
        CEL_OP_INDEX,
        CEL_OP_INDEX_OPTIONAL,
        CEL_OP_SELECT_OPTIONAL,
        CEL_OP_NOT_STRICTLY_FALSE,
        CEL_OP_OR_OPTIONAL, /* x.or(y), x.orValue(y): y only when needed */
        CEL_OP_OR_VALUE,
};

/* args of a fold: */
enum { FOLD_RANGE, FOLD_INIT, FOLD_CONDITION, FOLD_STEP, FOLD_RESULT, FOLD_ARGS };

struct cel_overload; /* a row with its signature parsed */

struct cel_expr {
        uint8_t kind, op;
        bool test_only; /* SELECT: has() */
        bool member;    /* CALL: the first argument is the receiver */
        bool bind;      /* FOLD: cel.bind; the accumulator is the variable */
        bool optional;  /* as an item or entry: [?x], {?k: v} (of a map: at the key) */
        uint16_t depth;
        uint32_t offset;  /* in the text, for findings */
        const char *name; /* IDENT, SELECT: field, CALL: function; FOLD: accumulator; MESSAGE */
        size_t name_size;
        struct cel_expr **args;
        size_t arg_count;
        struct cel_value constant;
        const char *loop[2]; /* FOLD: names of the loop's variables */
        /* From the checker: */
        const struct cel_type *type;
        const char *property; /* SELECT on an object: the name in JSON */
        int32_t slot;         /* IDENT, FOLD (accumulator): below 0: ~variable; else local */
        int32_t loop_slot[2];
        const struct cel_overload *const *overloads; /* candidates, NULL-terminated */
        /* From the estimate: */
        struct cel_range size;
};

struct cel_overload {
        const struct cel_row *row;
        const struct cel_type *const *params;
        size_t param_count;
        const struct cel_type *result;
};
struct cel_function_entry {
        const char *name;
        const struct cel_overload *overloads;
        size_t count;
};
struct cel_functions {
        struct cel_types *types;
        struct pattern_cache *patterns;
        const struct cel_library *const *libraries;
        struct cel_function_entry *entries; /* by name */
        size_t count;
};
const struct cel_function_entry *cel_function_find(const struct cel_functions *f, const char *name);
/* The type that a name in expressions stands for ("int", "net.IP"); NULL when none. */
const struct cel_type *cel_named_type(const struct cel_functions *f, const char *name);
/* The type of NAME{...}; NULL when there is none. */
const struct cel_type *cel_message_type(
                const struct cel_functions *f, struct cel_types *memory, const char *name);

struct cel_program {
        struct cel_types *memory;
        const struct cel_functions *functions;
        struct cel_expr *root;
        size_t variable_count, local_count;
        bool *reads;
        struct cel_range estimate;
};

/* Compiling: the state that lexer, parser and checker share. */
struct cel_source {
        const char *text;
        size_t size;
        struct cel_types *memory; /* the program's */
        struct cel_findings *findings;
        bool failed; /* out of memory */
};
void cel_finding(struct cel_source *s, size_t offset, const char *fmt, ...) _printf_(3, 4);
/* Makes the findings' text. */
void cel_findings_finish(struct cel_source *s);

enum cel_token_kind {
        CEL_TOKEN_END,
        CEL_TOKEN_IDENT,
        CEL_TOKEN_QUOTED, /* `a-b` */
        CEL_TOKEN_INT,
        CEL_TOKEN_UINT,
        CEL_TOKEN_DOUBLE,
        CEL_TOKEN_STRING,
        CEL_TOKEN_BYTES,
        CEL_TOKEN_PUNCTUATION,
        CEL_TOKEN_BAD, /* has its finding */
};
struct cel_token {
        enum cel_token_kind kind;
        size_t offset, size;
        struct cel_value value; /* literals; of integers the digits are in the text */
};
/* The token at *at, which moves behind it. */
struct cel_token cel_lex(struct cel_source *s, size_t *at);

/* NULL when it has findings or is out of memory. */
struct cel_expr *cel_parse(struct cel_source *s);
/* Expands a macro: the replacement, `call` itself when it is none, NULL with a finding. */
struct cel_expr *cel_expand(struct cel_source *s, struct cel_expr *call);
struct cel_expr *cel_expr_new(struct cel_source *s, enum cel_expr_kind kind, size_t offset);
struct cel_expr *cel_expr_call(struct cel_source *s, size_t offset, const char *name,
                struct cel_expr *const *args, size_t count);

/* 0, -EINVAL with findings, -ENOMEM. */
int cel_check(struct cel_source *s, const struct cel_env *env, struct cel_program *p);
struct cel_range cel_estimate_cost(struct cel_program *p, const struct cel_env *env);

struct cel_run {
        struct cel_arena arena;
        const struct cel_functions *functions;
        struct cel_limits limits;
        uint64_t cost, total;
        uint64_t steps; /* of work since the clock was looked at */
        uint64_t pattern_steps;
        unsigned depth; /* of the walk over the tree or over a value: cel_deeper() */
        bool spent, no_memory;
        bool late; /* the deadline has passed: spent, with any budget */
        struct cel_value *locals;
        const struct cel_value *variables;
        struct run_pattern *patterns;
        struct run_zone *zones;
};

/* Texts of time: kapid/cel/time.c. false: not such a text. */
bool cel_parse_timestamp(const char *text, size_t n, struct cel_value *ret);
bool cel_parse_date(const char *text, size_t n, struct cel_value *ret);
bool cel_parse_duration(const char *text, size_t n, struct cel_value *ret);
void cel_zones_done(struct cel_run *run);
/* Text of numbers as Go prints them with %g. */
const char *cel_double_text(double d, char buffer[static JSON_REAL_SIZE]);

/* One step down; run->depth-- when it is done. false: too deep (and no step). */
enum { CEL_RUN_DEPTH_MAX = 1000 };
static inline bool cel_deeper(struct cel_run *run) {
        if (run->depth >= CEL_RUN_DEPTH_MAX)
                return false;
        run->depth++;
        return true;
}
struct cel_value cel_too_deep(struct cel_run *run);

/* Looks up a member of a map, or of an object by property name. */
bool cel_member(struct cel_run *run, struct cel_value map, const char *name, size_t n,
                struct cel_value *ret);
/* a + b of lists; sets and keyed lists of schemas are merged. */
struct cel_value cel_list_join(struct cel_run *run, struct cel_value a, struct cel_value b);
/* The map as an object of the type. */
struct cel_value cel_map_message(
                struct cel_run *run, struct cel_value map, const struct cel_type *type);
/* x[key] of lists and maps. */
struct cel_value cel_index(struct cel_run *run, struct cel_value v, struct cel_value key);
bool cel_index_find(struct cel_run *run, struct cel_value v, struct cel_value key,
                struct cel_value *ret);

extern const struct cel_library cel_library_standard, cel_library_convert, cel_library_time,
                cel_library_optional;
