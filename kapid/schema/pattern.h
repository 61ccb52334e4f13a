/* Patterns of schemas (ECMA 262 / RE2 style, unanchored) on POSIX extended regular expressions. */
#pragma once

#include <regex.h>

#include "lib/base.h"

/* Translates \d \w \s \S \D \W \t \n (?:...) and escapes inside brackets. -EINVAL with a sentence
 * in *ret_error (caller frees) for what POSIX can't express: look-around, lazy quantifiers, \b,
 * named groups. */
int pattern_compile(const char *pattern, regex_t *ret, char **ret_error);
