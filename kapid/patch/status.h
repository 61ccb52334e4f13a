/* Writes of a status alone, which is most of what a cluster writes: all but the status (and the
 * metadata's managedFields) stays as it is stored, so that it need not be copied, normalised,
 * defaulted and compared. The new object shares it with the live one. */
#pragma once

#include "kapid/kinds/kind.h"
#include "lib/json.h"

/* merged: the patched object, which shares what the patch did not touch with live. NULL: it changes
 * more than the status, or not surely less, or there is no memory; then the long way is taken. The
 * status is the caller's own; of the metadata the first level is. */
json_t *status_patched(const struct kind *k, const struct kind_subresource *sub,
                const json_t *live, const json_t *merged);
/* The same of a body that replaces the status: what else it says does not count, but for the
 * metadata's preconditions and managedFields. */
json_t *status_replaced(const struct kind *k, const struct kind_subresource *sub,
                const json_t *live, const json_t *body);
