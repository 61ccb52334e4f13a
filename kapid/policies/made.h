/* What an expression of a mutation gave, as JSON. Pure. */
#pragma once

#include "kapid/cel/cel.h"

enum {
        POLICY_MADE_BYTES_MAX = 3 * 1024 * 1024, /* about what the JSON has */
        POLICY_MADE_DEPTH_MAX = 200,
};

/* The operations of a patch, or a configuration: a tree of its own. -EINVAL with a sentence in
 * *ret_why (the caller frees it) when it is too large or too deep, has no JSON form, or an object
 * in it has the type of another field; -ENOMEM. */
int policy_made(struct cel_run *run, struct cel_value v, bool is_patch, json_t **ret,
                char **ret_why);
