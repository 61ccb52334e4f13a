/* Templates: text with places to fill in, written {{NAME}}. A name is letters, digits and '-'.
 * There is no escape and nothing else; a value is put in as it is. */
#pragma once

#include "lib/base.h"

struct template_value {
        const char *name; /* NULL ends a list */
        const char *text;
};

/* The template with every {{NAME}} replaced by the value of that name. Every name must have a value
 * (asserted: templates are ours). Caller frees; NULL when out of memory. */
char *template_fill(const char *template, const struct template_value *values) _warn_unused_;
