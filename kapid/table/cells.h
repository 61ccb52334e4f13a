/* Cells that a JSONPath can't say: what people read in `get` about each built-in kind. */
#pragma once

#include "kapid/kinds/kind.h"

/* The cell of a column by its name; a new reference, NULL when out of memory. */
typedef json_t *(*cells_func)(const char *column, const json_t *object, uint64_t now_us);
/* NULL: every column of the kind has a path. */
cells_func cells_find(const struct kind *k);
/* "3d4h" since an RFC 3339 time; "<unknown>" without one. */
json_t *cells_age(const char *since, uint64_t now_us);
json_t *cells_absent(const struct kind_column *c);

/* Pods have a file of their own. */
json_t *cells_pod(const char *column, const json_t *object, uint64_t now_us);
/* Names, or images, of a list of containers, joined by commas. */
json_t *cells_containers(const json_t *pod_spec, const char *field);
