/* Transactions as text, by nft's library. */
#pragma once

#include <stdbool.h>

/* -EIO when it is refused; *ret_reason is why, in the library's words (NULL when out of memory;
 * caller frees). Blocks; for any thread. */
int nft_text_run(const char *text, char **ret_reason);
/* Whether the kernel has the table of family inet. */
bool nft_text_finds_table(const char *name);
