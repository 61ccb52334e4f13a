/* Which unit properties a pod may set by the annotation unit.keelson.dev/<Property>, and from which
 * pod security level on. The one table behind the API's check (kapid) and the agent's.
 * A property that only a privileged namespace may set reaches other units, users, paths,
 * capabilities, sockets or namespaces, or takes a protection away. */
#pragma once

#include "lib/base.h"

/* In the order of rising restriction, as the Pod Security Standards have them. */
enum security_level { LEVEL_PRIVILEGED, LEVEL_BASELINE, LEVEL_RESTRICTED };

struct unit_property {
        const char *name;      /* on D-Bus: "TimeoutStopUSec" */
        const char *file_name; /* in unit files when different: "TimeoutStopSec"; else NULL */
        /* The most restricted level that allows it. */
        enum security_level level;
        /* Values (as in a unit file, any case) that `level` allows, with blanks between; all others
         * need LEVEL_PRIVILEGED. NULL: every value. */
        const char *values;
        /* The one value (any case) that needs LEVEL_PRIVILEGED: a bound taken away. NULL: none. */
        const char *refused;
};

/* Finds a row by either name; NULL when it is not in the table. */
const struct unit_property *unit_property_find(const char *name);
/* The i-th row; NULL past the end. */
const struct unit_property *unit_property_at(size_t i);
/* The most restricted level that allows the property with this value (text as in a unit file). */
enum security_level unit_property_level(const struct unit_property *p, const char *value);

/* "unit.keelson.dev/Nice" and "web.unit.keelson.dev/Nice": the property's name within the key (here
 * "Nice"), NULL for annotations of another kind. */
const char *unit_property_of_annotation(const char *key);
