/* Names that users choose, as values of labels: each has a series of its own up to a number of
 * them; all further ones share one, "other". */
#pragma once

#include "lib/base.h"

struct metric_names;
int metric_names_new(struct metric_names **ret, size_t max);
struct metric_names *metric_names_free(struct metric_names *n);
DEFINE_CLEANUP(struct metric_names *, metric_names_free);
/* `name` itself, or "other". */
const char *metric_name(struct metric_names *n, const char *name);
