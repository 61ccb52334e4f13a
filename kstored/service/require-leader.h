/* For clients that asked to fail without a leader. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part require_leader_part;

/* Whether a call may begin; false: it was refused (see struct grpc_server_options). */
bool server_admit(struct grpc_call *call, void *server);
