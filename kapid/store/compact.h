/* Keeps the store small: revisions older than a few minutes are compacted away. */
#pragma once

#include "kapid/api.h"

struct compact;
int compact_start(struct compact **ret, struct api *a);
struct compact *compact_free(struct compact *c);
