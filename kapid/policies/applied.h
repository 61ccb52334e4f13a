/* What the expressions of mutations made, on an object. Pure. */
#pragma once

#include "kapid/webhooks/patched.h"

/* 1: *ret is what became of the object, a new tree; 0: it stays as it is (also when a test of the
 * patch found another value); -EINVAL with a sentence in *ret_why (the caller frees it); -ENOMEM.
 * The configuration is ours, and is changed. */
int policy_apply_patch(const struct patched_facts *f, const json_t *object,
                const json_t *operations, json_t **ret, char **ret_why);
int policy_apply_configuration(const struct patched_facts *f, const json_t *object, json_t *config,
                json_t **ret, char **ret_why);
