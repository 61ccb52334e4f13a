/* The Common Expression Language as Kubernetes uses it: expressions are compiled against declared
 * variables and evaluated with values, both with bounds. Pure: no I/O (time zones of the system
 * are read by name), no clock but the one that is given. */
#pragma once

#include "kapid/cel/arena.h"
#include "kapid/cel/function.h"

enum {
        CEL_TEXT_MAX = 100 * 1024,         /* bytes of an expression */
        CEL_DEPTH_MAX = 100,               /* nesting of an expression */
        CEL_FINDINGS_MAX = 20,             /* findings of one expression that are kept */
        CEL_MEMORY_MAX = 64 * 1024 * 1024, /* of one evaluation */
        /* Kubernetes' limits. Estimates: of one expression, of all of one definition. */
        CEL_ESTIMATE_MAX = 10 * 1000 * 1000,
        CEL_ESTIMATE_ALL_MAX = 100 * 1000 * 1000,
        /* At run time: of one expression, of all for one object. */
        CEL_COST_MAX = 1000 * 1000,
        CEL_COST_ALL_MAX = 10 * 1000 * 1000,
};

/* The functions, with their signatures parsed; shared by all environments, immutable. */
struct pattern_cache;
struct cel_functions;
/* From a NULL-terminated list of libraries (cel_libraries). Borrows the cache of patterns. -EINVAL
 * when a table is wrong (a programmer's error; *ret_error names the row), -ENOMEM. */
int cel_functions_new(const struct cel_library *const *libraries, struct pattern_cache *patterns,
                struct cel_functions **ret, char **ret_error);
struct cel_functions *cel_functions_free(struct cel_functions *f);
DEFINE_CLEANUP(struct cel_functions *, cel_functions_free);

/* Variables that expressions may name. `functions` and the types must outlive the environment, and
 * that the programs. */
struct cel_variable {
        const char *name;
        const struct cel_type *type;
};
struct cel_env {
        const struct cel_functions *functions;
        const struct cel_variable *variables;
        size_t variable_count;
};

/* Why an expression is refused: "undefined field 'x'", as cel-go words it. */
struct cel_finding {
        unsigned line, column; /* from 1; column counts code points */
        char *message;
};
struct cel_findings {
        struct cel_finding items[CEL_FINDINGS_MAX];
        size_t count;
        size_t left_off; /* beyond those */
        char *text;      /* all as cel-go prints them: "ERROR: <input>:1:6: ..." with the line */
};
void cel_findings_done(struct cel_findings *f);
#define _cleanup_cel_findings_ _cleanup_(cel_findings_done)

struct cel_program;
/* 0, -EINVAL with findings, -ENOMEM. */
int cel_compile(const struct cel_env *env, const char *text, size_t n, struct cel_program **ret,
                struct cel_findings *ret_findings);
struct cel_program *cel_program_free(struct cel_program *p);
DEFINE_CLEANUP(struct cel_program *, cel_program_free);
/* The type that it gives. */
const struct cel_type *cel_program_type(const struct cel_program *p);
/* Whether it reads the i-th variable of its environment anywhere. */
bool cel_program_reads(const struct cel_program *p, size_t variable);
/* What evaluating it may cost at least and at most, from the sizes of its variables' types. */
struct cel_range cel_program_estimate(const struct cel_program *p);

/* One evaluation, or several that share budget and memory. */
struct cel_limits {
        uint64_t cost_max;    /* 0: CEL_COST_MAX */
        size_t memory_max;    /* 0: CEL_MEMORY_MAX */
        uint64_t deadline_us; /* 0: none; by now_us(clock) */
        uint64_t (*now_us)(void *clock);
        void *clock;
};
int cel_run_new(const struct cel_functions *functions, const struct cel_limits *limits,
                struct cel_run **ret);
struct cel_run *cel_run_free(struct cel_run *r);
DEFINE_CLEANUP(struct cel_run *, cel_run_free);
/* Evaluates with a value for each variable of the environment, in its order. The result, which may
 * be an error value, lives as long as the run, or until cel_run_back(). */
struct cel_value cel_eval(struct cel_run *run, const struct cel_program *p,
                const struct cel_value *variables);
/* What was spent so far; whether an evaluation ended because the budget, the time or the memory was
 * spent. */
uint64_t cel_run_cost(const struct cel_run *run);
bool cel_run_spent(const struct cel_run *run);
/* Another budget for what follows: counts from 0 again and keeps what was computed. */
void cel_run_budget(struct cel_run *run, uint64_t cost_max);
/* Gives the memory back that was taken since the mark, also when it was all that there is: nothing
 * that was made since may be used. */
struct cel_mark {
        struct cel_arena arena;
};
struct cel_mark cel_run_mark(const struct cel_run *run);
void cel_run_back(struct cel_run *run, const struct cel_mark *mark);
