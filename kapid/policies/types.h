/* Types of built-in kinds and of definitions, for checking the expressions of a policy. */
#pragma once

#include "kapid/kinds/kind.h"
#include "kapid/policies/policy.h"

enum { POLICY_CHECKED_TYPES_MAX = 10 }; /* as Kubernetes */

/* The type of objects of a compiled schema, in the types' memory. NULL when out of memory. */
const struct cel_type *policy_type_of_schema(struct cel_types *t, const struct schema *s);

/* status.typeChecking of a policy: its validations, compiled with the types of each kind that its
 * rules name without wildcards. *ret: an array of {fieldRef, warning}, NULL when there is none.
 * -ENOMEM. */
int policy_check_types(const struct policy_language *l, const struct kind_registry *kinds,
                const json_t *spec, json_t **ret);
