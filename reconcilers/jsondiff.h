/* Computes the merge patch (RFC 7386) that makes one JSON value into another. */
#pragma once

#include "lib/json.h"

/* Both objects (old may be NULL); keys that new lacks become null. An empty object when nothing
 * differs but zero values (0, false, "", [], {}) that old lacks, which the API does not keep in
 * most fields; NULL when out of memory. New reference. */
json_t *json_merge_diff(const json_t *old, const json_t *new) _warn_unused_;
