/* The columns of a kind, prepared once: their paths as they are walked, and the part of an object
 * that all of its cells read, so that a row needs no more of an object's text. */
#pragma once

#include "kapid/kinds/kind.h"

/* Fills columns[].steps. ret_row: what their cells read (lib/json-part.h). -ENOMEM. */
int columns_prepare(struct kind_column *columns, size_t count, struct json_part **ret_row);
/* Frees what columns_prepare made; NULL is fine. */
void columns_done(const struct kind_column *columns, size_t count, struct json_part *row);
