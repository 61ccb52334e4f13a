/* Part of kinds-to-c: the catalogue of kinds, from the documents (one JSON array). */
#pragma once

#include "lib/json.h"

/* To standard output: enum kind_id of lib/client/kinds.h, one KIND_... a kind, as a header.
 * A plural is named after its kind's group too where an earlier document has the same plural. */
void facts_write_ids(const json_t *documents);
/* ... and the table kind_facts[], as C. -EINVAL after a message when a document does not say what
 * the table needs. */
int facts_write_c(const json_t *documents);
