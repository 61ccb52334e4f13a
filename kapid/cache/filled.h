/* Stored objects as their kind shows them now: a definition may have got fields with defaults since
 * they were written. Readers see the defaults, the store does not change. */
#pragma once

#include "kapid/cache/item.h"
#include "kapid/kinds/kind.h"

/* The item with the defaults that its object lacks: the item itself, or one that it keeps for the
 * next reader. Borrowed, lives as long as the item (and until another version of the kind asks).
 * NULL when out of memory. */
struct item *item_for_kind(struct item *it, const struct kind *k);
