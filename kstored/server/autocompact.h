/* Automatic compaction. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part autocompact_part;
