/* Writing JSON texts fast. */
#pragma once

#include "lib/buf.h"
#include "lib/json.h"

/* Appends the compact text of a tree, as jansson writes it, but floats in their shortest form.
 * False: out of memory, not UTF-8, or nested deeper than depth_max levels; what was appended then
 * is a part of it. */
bool json_write(struct buf *b, const json_t *v, unsigned depth_max);
/* The same with the keys in order. False, too, for an object with many keys: it is made for small
 * texts that are compared. */
bool json_write_sorted(struct buf *b, const json_t *v, unsigned depth_max);
/* Appends the text as a JSON string, without an end (a NUL) after it. */
bool json_write_string(struct buf *b, const char *text);
