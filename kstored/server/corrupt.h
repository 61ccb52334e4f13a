/* Compares the members' data on the leader, now and then, and raises the CORRUPT alarm. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part corrupt_part;
