/* The pure parts of `kctl node run`. */
#pragma once

#include "lib/base.h"

/* One word is a line for the shell of the machine, several are a command and its arguments. Caller
 * frees; NULL when out of memory. */
char *node_run_command(char *const *words) _warn_unused_;
/* 0 when all are, else the highest. */
int node_run_code(const int *codes, size_t n);
