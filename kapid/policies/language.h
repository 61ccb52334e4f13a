/* The language of admission policies: the functions that expressions may call and the variables
 * that they may name. Pure; what only the server knows it is given as a function. */
#pragma once

#include "kapid/cel/cel.h"

/* A question about someone's rights. Texts are never NULL. */
struct policy_access {
        const char *service_account, *service_account_namespace; /* "": the requesting user */
        const char *verb, *path;
        const char *group, *resource, *subresource, *namespace, *name;
        const char *fields, *labels; /* selectors, as the expression wrote them */
};
struct policy_authority {
        bool (*may)(const struct policy_access *access, void *userdata);
        void *userdata;
};

/* authorizer: kapid/policies/authorizer.c. */
extern const struct cel_library policy_library_authorizer;
extern const struct cel_opaque_class policy_authorizer_class, policy_resource_check_class;
/* Values of the two; the authority must outlive the run. `access` (its texts live as long): the
 * request's resource. */
struct cel_value policy_authorizer(struct cel_run *run, const struct policy_authority *authority);
struct cel_value policy_request_resource(struct cel_run *run,
                const struct policy_authority *authority, const struct policy_access *access);

/* What mutations may name besides: kapid/policies/mutation-types.c. */
extern const struct cel_library policy_library_mutation;
bool policy_is_configuration(const struct cel_type *t); /* Object{} */
bool policy_is_patch(const struct cel_type *t);         /* [JSONPatch{}] */

/* Variables in this order; those of the policy itself ("variables.NAME") follow. */
enum policy_variable {
        POLICY_OBJECT,
        POLICY_OLD_OBJECT,
        POLICY_REQUEST,
        POLICY_NAMESPACE,
        POLICY_VARIABLES, /* has no fields: variables that were declared have names with a dot */
        POLICY_PARAMS,
        POLICY_AUTHORIZER,
        POLICY_REQUEST_RESOURCE,
        POLICY_VARIABLE_COUNT,
};
enum policy_names {
        POLICY_HAS_PARAMS = 1 << 0,
        POLICY_HAS_AUTHORIZER = 1 << 1,
};

struct policy_language {
        struct pattern_cache *patterns;
        struct cel_functions *functions;
        struct cel_functions *mutation_functions; /* these, Object{} and JSONPatch{} */
        struct cel_types *types;
        const struct cel_type *request, *namespace, *variables;
        const struct cel_library *libraries[32], *mutation_libraries[32];
};
int policy_language_new(struct policy_language **ret);
struct policy_language *policy_language_free(struct policy_language *l);
DEFINE_CLEANUP(struct policy_language *, policy_language_free);

/* Fills POLICY_VARIABLE_COUNT variables; those that are not in `names` cannot be named. object and
 * params: their types. */
void policy_language_variables(const struct policy_language *l, unsigned names,
                const struct cel_type *object, const struct cel_type *params,
                struct cel_variable *ret);
