/* Maintenance.MoveLeader. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part move_leader_part;

void service_move_leader(struct grpc_call *call, const void *data, size_t n, void *server);
