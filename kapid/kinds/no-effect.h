/* Part of kinds-to-c: the fields without effect, from the documents (one JSON array). */
#pragma once

#include "lib/json.h"

/* To standard output: the table of lib/no-effect.h, as C. */
void no_effect_write_c(const json_t *documents);
/* ... and for people, as rows of a Markdown table. */
void no_effect_write_list(const json_t *documents);
/* ... and docs/kinds.md's table: kinds, versions, and how many fields have an effect or only a
 * warning (status and metadata apart; a pod template's count under Pod). */
void no_effect_write_coverage(const json_t *documents);
