/* Options that contradict each other, found before anything is opened or made. */
#pragma once

#include "lib/problem.h"

struct server_options;

/* 0, or -EINVAL with p naming the options. */
int options_check(const struct server_options *o, struct problem *p);
