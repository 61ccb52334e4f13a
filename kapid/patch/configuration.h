/* Apply configurations that nobody owns: what mutating admission policies make (kapid/policies/).
 * Pure. */
#pragma once

#include "kapid/pipeline/pipeline.h"
#include "lib/buf.h"

/* The object with the configuration merged into it as server-side apply merges, without ownership:
 * a new tree. s: the schema of both; config is ours, is changed, and may set neither lists nor maps
 * that are atomic, because that would remove what they had. -EINVAL with a sentence in *ret_why
 * (the caller frees it), -ENOMEM. */
int configuration_apply(const struct kind *k, const struct schema *s, const json_t *object,
                json_t *config, json_t **ret, char **ret_why);

/* Appends ".spec.x: field not declared in schema" for each of `unknown field "spec.x"`. */
void configuration_undeclared(char *const *unknown, struct buf *out);
