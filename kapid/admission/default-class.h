/* The class that is used where none is named: of volumes, of ingresses. */
#pragma once

#include "kapid/admission/admission.h"

/* The cached cluster-wide object of that kind with the value "true" in one of the annotations (a
 * vector ended by NULL); of several the one created last, and of those of one second the first by
 * name. Returns a new reference; NULL: there is none. */
json_t *default_class_find(const struct admission *a, const char *group, const char *plural,
                const char *const *marks);
