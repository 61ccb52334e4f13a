/* Reading JSON texts fast: most of what a server does with small requests is that. */
#pragma once

#include "lib/json.h"

/* The tree of a text, as jansson reads it. -EAGAIN: it is not JSON, or has something rare (a float,
 * an integer near 64 bits, a character beyond 16 bits that is written as an escape): jansson knows
 * what to say or to do. -ENOMEM. */
int json_read(const char *text, size_t n, unsigned depth_max, unsigned flags, json_t **ret);
