/* Memory of JSON trees: a tree is thousands of small blocks that come and go together, more than
 * the C library keeps at hand. */
#pragma once

#include "lib/base.h"

/* From now on, for the calling thread alone: freed blocks of jansson are kept for the next tree, at
 * most 3 MB of them. They are blocks of malloc() as before: free() may have them. For a program
 * whose one thread does little else than trees. */
void json_memory_keep(void);
/* Gives the kept blocks back. */
void json_memory_drop(void);
