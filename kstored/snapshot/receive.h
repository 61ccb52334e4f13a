/* A whole state from the leader (keelsonpeer.Peer/InstallSnapshot). */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part snapshot_receive_part;

/* Whether one is on its way or being put in place. */
bool snapshot_is_received(const struct server *s);

void service_install_snapshot(struct grpc_call *call, const void *data, size_t n, void *server);
