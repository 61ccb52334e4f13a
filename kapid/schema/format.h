/* String formats: names, labels, times, addresses. */
#pragma once

#include "kapid/schema/schema.h"

/* NULL when the text fits the format, else a static sentence that says what it must be like.
 * Formats of other types than strings always fit. */
const char *format_check(enum schema_format format, const char *text);
/* Formats of CustomResourceDefinitions: a number from FORMAT_CUSTOM on, or FORMAT_OTHER for a name
 * that the API does not know (nothing is checked then). Dashes in the name do not count. */
uint8_t format_custom_find(const char *name);
/* The name as messages write it; NULL for other formats. */
const char *format_custom_name(uint8_t format);
/* Whether the text fits; other formats take everything. */
bool format_custom_fits(uint8_t format, const char *text);
/* Strict base64 with padding; the number of decoded bytes in ret_size (may be NULL). */
bool base64_is_valid(const char *text, size_t n, size_t *ret_size);
/* Of such a text the last character before the padding, with no bit set that no byte takes (most
 * decoders want them clear, Go's does not look), and where it stands; 0: there is no padding. */
char base64_last(const char *text, size_t n, size_t *ret_at);
/* Whether the number is an integer that 64 bits hold. */
bool number_is_whole(double d);
