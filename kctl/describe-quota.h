/* kctl describe: the amounts of quotas and limit ranges as tables, as kubectl shows them. */
#pragma once

#include "kctl/kctl.h"

/* Scopes, and a line for each resource: used and allowed. Headed by the quota's name where several
 * are shown (titled). */
void describe_quota(const json_t *quota, bool titled);
/* A line for each type and resource. */
void describe_limit_range(const json_t *range);
/* The quotas and limit ranges of a namespace. Those that may not be read are left out. */
void describe_bounds(struct kctl *k, const char *namespace);
