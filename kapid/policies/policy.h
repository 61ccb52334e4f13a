/* Admission policies and bindings in the form in which requests are compared with them. Pure;
 * immutable and counted. */
#pragma once

#include "kapid/policies/language.h"
#include "kapid/webhooks/match.h"

/* A compiled expression; program NULL: there is none. */
struct policy_expression {
        const char *text; /* borrows from the object */
        struct cel_program *program;
};
struct policy_condition {
        const char *name;
        struct policy_expression expression;
};
struct policy_validation {
        struct policy_expression expression, message_expression;
        const char *message; /* "": none */
        const char *reason;  /* "Invalid"...: a constant */
};
struct policy_annotation {
        const char *key;
        struct policy_expression value;
};
struct policy_mutation {
        bool is_patch; /* JSONPatch; else ApplyConfiguration */
        struct policy_expression expression;
};

struct policy_program {
        struct cel_types *types;        /* of what follows */
        struct cel_variable *variables; /* POLICY_VARIABLE_COUNT, then the policy's */
        struct cel_variable *silent;    /* the same without authorizer: for messages */
        struct policy_condition *named; /* the policy's variables */
        size_t named_count;
        struct policy_condition *conditions;
        size_t condition_count;
        struct policy_validation *validations;
        size_t validation_count;
        struct policy_annotation *annotations;
        size_t annotation_count;
        struct policy_mutation *mutations;
        size_t mutation_count;
};

/* What the object and params are in expressions; NULL: anything. */
struct policy_types {
        const struct cel_type *object, *params;
};
/* A fault of an expression: its field below spec ("validations[0].expression"), its text, and why
 * ("compilation failed: ERROR: ..."). */
typedef void (*policy_report)(const char *field, const char *text, const char *why, void *userdata);
/* Compiles all expressions of a spec; those that cannot be compiled are reported and left without
 * a program. Borrows language and spec. -ENOMEM. */
int policy_program_new(struct policy_program **ret, const struct policy_language *l,
                const json_t *spec, const struct policy_types *types, policy_report report,
                void *userdata);
struct policy_program *policy_program_free(struct policy_program *p);
DEFINE_CLEANUP(struct policy_program *, policy_program_free);

/* Which requests it is about. */
struct policy_match {
        struct webhook wanted, excluded; /* rules, and of `wanted` the selectors */
};

enum policy_type { POLICY_VALIDATING, POLICY_MUTATING, POLICY_TYPES };

struct policy {
        unsigned refs;
        json_t *object;
        const char *name;
        struct policy_match match;
        bool ignores_failures;
        bool reinvoked; /* mutating: asked again when others have changed the object since */
        const char *param_api_version, *param_kind; /* NULL: no parameters */
        struct policy_program *program;
        char *fault; /* an expression that this server cannot compile; NULL: none */
};
/* From an object that passed validation. -EINVAL with p for one that did not (an older kapid, or a
 * hand in the store), -ENOMEM. */
int policy_new(struct policy **ret, const struct policy_language *l, const json_t *object,
                struct problem *p);
struct policy *policy_ref(struct policy *p);
struct policy *policy_unref(struct policy *p);
DEFINE_CLEANUP(struct policy *, policy_unref);
/* Whether it was made from this one: the same uid and generation. */
bool policy_is_of(const struct policy *p, const json_t *object);

enum policy_action {
        POLICY_DENY = 1 << 0,
        POLICY_WARN = 1 << 1,
        POLICY_AUDIT = 1 << 2,
};
struct policy_binding {
        unsigned refs;
        json_t *object;
        const char *name, *policy;
        struct policy_match match;
        unsigned actions;
        const char *param_name, *param_namespace; /* "": not given */
        struct label_selector *param_selector;    /* NULL: none */
        bool has_params, denies_without_params;
};
int policy_binding_new(struct policy_binding **ret, const json_t *object, struct problem *p);
struct policy_binding *policy_binding_ref(struct policy_binding *b);
struct policy_binding *policy_binding_unref(struct policy_binding *b);
DEFINE_CLEANUP(struct policy_binding *, policy_binding_unref);

/* The version of the request's kind in which the policy sees the objects; NULL: it is not about it.
 */
const struct kind *policy_matches(const struct policy_match *m, const struct webhook_request *a,
                const struct webhook_equivalents *equivalents);
/* The kind that spec.paramKind of a policy names; NULL: there is none of it. */
const struct kind *policy_param_kind(
                const struct kind_registry *registry, const char *api_version, const char *kind);
