/* Refusals of a request's options in the reference server's words: they are about the options, not
 * about the object. Pure. */
#pragma once

#include "lib/problem.h"

/* "CreateOptions", "UpdateOptions", "PatchOptions" or "DeleteOptions". */
const char *options_kind(const char *verb);
/* 422: `PatchOptions.meta.k8s.io "" is invalid: FIELD: TEXT`, with one cause. -EINVAL. */
int options_refused(struct problem *p, const char *kind, const char *reason, const char *field,
                const char *text);
