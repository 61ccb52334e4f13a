/* The replica's driver: carries out what the replica asks for (replica_ops), with the server as
 * userdata. */
#pragma once

#include "kstored/replica/replica.h"
#include "kstored/server/parts.h"

extern const struct replica_ops drive_ops;
extern const struct server_part drive_part;

/* Does a save that was left for the loop's own thread; false when there is none. The replica's turn
 * is due after it. */
bool drive_write_now(struct server *s);
