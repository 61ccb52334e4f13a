/* Finding a part of a JSON text without parsing the rest. The text is trusted to be JSON: what is
 * found in another one is within it, and no more is promised. */
#pragma once

#include "lib/json.h"

/* In the text of an object, from its '{' on to `end`: where the value of the member begins; NULL:
 * it has none. A name that is written with escapes is not found. */
const char *json_text_member(const char *object, const char *end, const char *name);
/* Past the value that begins at `value`; NULL when it does not end before `end`. */
const char *json_text_value_end(const char *value, const char *end);
/* json_parse(), but the member that the path leads to (names, ended by NULL) is null in the result,
 * whatever it is in the text: for large parts that are not needed. Its value may also come as it
 * is. 0, -EINVAL, -ENOMEM. */
int json_parse_without(const char *text, size_t n, const char *const *path, json_t **ret);
