/* The quota of the database. */
#pragma once

#include "kstored/errors.h"
#include "kstored/server/parts.h"

extern const struct server_part quota_part;

/* STORE_NO_SPACE when the quota or a full disk does not allow this many bytes more; raises the
 * NOSPACE alarm for the quota. */
enum store_error server_check_space(struct server *s, size_t bytes);
