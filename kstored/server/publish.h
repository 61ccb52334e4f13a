/* This member's name and client URLs, for the cluster. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part publish_part;
