/* Reads the whole database at the start and once a day, in search of damage. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part scrub_part;
