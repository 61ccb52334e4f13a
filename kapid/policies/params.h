/* The objects that a binding names as parameters, from kapid's caches. */
#pragma once

#include "kapid/api.h"
#include "kapid/policies/policy.h"

/* An array of objects, in the version that the policy asks for; NULL in *ret: the policy or the
 * binding has none, and is asked once without. namespace: of the request, "" for one without.
 * -EINVAL with a sentence in *ret_why (the caller frees it), -ENOMEM. */
int policy_params(struct api *a, const struct policy *p, const struct policy_binding *b,
                const char *namespace, json_t **ret, char **ret_why);
