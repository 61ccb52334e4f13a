/* Modes of the program other than serving: checking a backup, restoring one, and replacing
 * this member. */
#pragma once

#include "lib/problem.h"

struct server_options;

/* Does what --check, --restore or --replace ask and prints one line of JSON. 1 when it did, 0 when
 * neither was asked for. */
int offline_run(const struct server_options *o, struct problem *p);
