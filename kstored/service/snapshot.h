/* Maintenance.Snapshot. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part snapshot_part;

void service_snapshot(struct grpc_call *call, const void *data, size_t n, void *server);
