/* Continue tokens: the snapshot's revision and the last path that was shown. */
#pragma once

#include "lib/problem.h"

/* CONTINUE_NEWEST in place of a revision: the rest of the list as it is then, which may not fit
 * what was shown before. */
enum { CONTINUE_NEWEST = 0 };
char *continue_token(uint64_t revision, const char *path) _warn_unused_;
/* The caller frees *ret_path. 400 for what is not one of our tokens. */
int continue_parse(const char *token, uint64_t *ret_revision, char **ret_path, struct problem *p);
