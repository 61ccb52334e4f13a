/* Writing JSON texts fast. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* Appends the compact text of a tree, as jansson writes it, but floats in their shortest form.
 * False: out of memory, not UTF-8,
 * or nested too deeply for this. */
bool json_write(struct buf *b, const json_t *v);
