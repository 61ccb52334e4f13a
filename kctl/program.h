/* Programs of the user's machine that verbs run: an editor, diff. */
#pragma once

#include "lib/problem.h"

/* Runs "COMMAND ARGUMENT..." by the shell with our standard files and waits for its end. command
 * is a line of the shell (people give their editor options in $EDITOR), the arguments are passed as
 * they are. 0 with the exit code; -errno with p. */
int run_by_shell(const char *command, char *const *arguments, int *ret_code, struct problem *p);
/* A new folder that only we can read, under $TMPDIR. Caller frees, and removes the tree. */
int private_folder(char **ret, struct problem *p);
