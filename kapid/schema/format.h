/* String formats: names, labels, times, addresses. */
#pragma once

#include "kapid/schema/schema.h"

/* NULL when the text fits the format, else a static sentence that says what it must be like.
 * Formats that are no strings' formats always fit. */
const char *format_check(enum schema_format format, const char *text);
/* Strict base64 with padding; the number of decoded bytes in ret_size (may be NULL). */
bool base64_is_valid(const char *text, size_t n, size_t *ret_size);
/* Whether the number is an integer that 64 bits hold. */
bool number_is_whole(double d);
