/* A whole state for a member that fell behind the log. */
#pragma once

#include "kstored/server/parts.h"

extern const struct server_part snapshot_send_part;

/* The core asks for it: begins in this turn, and reports to the core when it has ended. */
void snapshot_send_wanted(struct server *s, uint64_t to);
