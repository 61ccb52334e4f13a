/* Free memory goes back to the system. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part memory_part;
