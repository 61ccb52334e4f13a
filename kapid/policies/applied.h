/* What the expressions of mutations made, on an object. Pure. */
#pragma once

#include "kapid/webhooks/patched.h"

/* On a form of the object: what the policy sees of it. 1: *ret is what became of that, a new tree;
 * 0: it stays as it is (also when a test of the patch found another value); -EINVAL with a sentence
 * in *ret_why (the caller frees it); -ENOMEM. The configuration is ours, and is changed. */
int policy_apply_patch(const json_t *form, const json_t *operations, json_t **ret, char **ret_why);
int policy_apply_configuration(const struct patched_facts *f, const json_t *form, json_t *config,
                json_t **ret, char **ret_why);
/* The changed form as the new object: read again, as a client's would be. Likewise. */
int policy_applied(const struct patched_facts *f, const json_t *before, const json_t *changed,
                json_t **ret, char **ret_why);
