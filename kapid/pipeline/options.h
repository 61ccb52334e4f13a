/* Refusals of a request's options in the reference server's words: they are about the options, not
 * about the object. Pure. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* "CreateOptions", "UpdateOptions", "PatchOptions" or "DeleteOptions". */
const char *options_kind(const char *verb);
/* 422: `PatchOptions.meta.k8s.io "" is invalid: FIELD: TEXT`, with one cause. -EINVAL. */
int options_refused(struct problem *p, const char *kind, const char *reason, const char *field,
                const char *text);
/* The same of dryRun, which was given these words (an array). */
int options_dry_run_refused(struct problem *p, const char *kind, const json_t *words);
