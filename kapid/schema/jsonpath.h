/* The part of JSONPath that printer columns and selectable fields use: .a.b, ['a.b'], [0], [*],
 * [?(@.type=="Ready")]. */
#pragma once

#include "lib/json.h"

/* Calls func for each match in order until it returns false. A leading "$" or "{...}" is allowed.
 * -EINVAL for text that can't be read. */
int jsonpath_each(const json_t *root, const char *path,
                bool (*func)(const json_t *v, void *userdata), void *userdata);
/* The first match or NULL. */
const json_t *jsonpath_first(const json_t *root, const char *path);
