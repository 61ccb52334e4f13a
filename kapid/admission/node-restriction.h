/* Checks what an agent writes to its own Node object. Pure. */
#pragma once

#include "lib/json.h"

/* Whether an agent may set, change or remove a label of that key on its own node. */
bool node_may_set_label(const char *key);
/* 1 when the change (live NULL: a new Node) is not an agent's to make: *ret_why says what it may
 * not do, *ret_what names the field or label; both borrowed. 0: nothing to say against it. */
int node_restrict_object(const json_t *live, const json_t *object, const char **ret_why,
                const char **ret_what);
