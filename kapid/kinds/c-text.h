/* Part of kinds-to-c: text as C source. */
#pragma once

#include "lib/buf.h"

/* Appends s as a C string literal, or NULL. s holds no control characters. */
void c_string(struct buf *b, const char *s);
