/* What a schema of a CustomResourceDefinition must be, as a document, before it is compiled. */
#pragma once

#include "kapid/schema/findings.h"

/* Adds what is wrong with the document; the findings' path is the schema's. A document without
 * findings can be compiled, but for its patterns and its depth. */
void schema_check_structural(struct findings *f, const json_t *document);
