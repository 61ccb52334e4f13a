/* What the program does instead of serving: checking a backup, and restoring one. */
#pragma once

#include "lib/problem.h"

struct server_options;

/* Does what --check or --restore ask and prints one line of JSON. 1 when it did, 0 when neither was
 * asked for. */
int offline_run(const struct server_options *o, struct problem *p);
