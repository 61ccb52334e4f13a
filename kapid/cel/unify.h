/* Which types may stand for which, with parameters that get their types on the way. */
#pragma once

#include "kapid/cel/internal.h"

struct cel_binding {
        const struct cel_type *variable, *to; /* to NULL: free */
};
struct cel_unify {
        struct cel_types *memory;
        VECTOR(struct cel_binding)
        bindings;       /* the variable's size_json_min is its index here */
        uint64_t steps; /* that are left: looks at a type; 0: the types are too large */
        uint64_t built; /* types that may still be made */
        bool failed;
};
/* For an expression of that length. `bindings` is the caller's to free. */
void cel_unify_begin(struct cel_unify *u, struct cel_types *memory, size_t text_size);
/* What has been answered since it is so means nothing: the expression is to be refused. */
bool cel_unify_too_large(const struct cel_unify *u);
/* A free parameter. NULL when out of memory. */
const struct cel_type *cel_fresh(struct cel_unify *u);
/* The type with bound parameters replaced; free ones become dyn when asked for. */
const struct cel_type *cel_substitute(
                struct cel_unify *u, const struct cel_type *t, bool free_to_dyn);
/* Whether a value of `from` may stand where `to` is wanted; binds parameters only when it may. */
bool cel_assignable(struct cel_unify *u, const struct cel_type *from, const struct cel_type *to);
bool cel_assignable_all(struct cel_unify *u, const struct cel_type *const *from,
                const struct cel_type *const *to, size_t count);
/* The one that takes more. */
const struct cel_type *cel_most_general(
                struct cel_unify *u, const struct cel_type *a, const struct cel_type *b);
/* cel_type_same, counted. */
bool cel_types_same(struct cel_unify *u, const struct cel_type *a, const struct cel_type *b);
/* The signature's types with parameters of their own. false when out of memory. */
bool cel_instantiate(struct cel_unify *u, const struct cel_overload *o,
                const struct cel_type **ret_params, const struct cel_type **ret_result);
