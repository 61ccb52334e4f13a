/* Calls that only the leader can answer, passed on to it. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part forward_part;

/* Passes a call on to the leader, or refuses it where there is none or it was passed on already.
 * False on the leader: serve it here. */
bool server_forward(struct server *s, struct grpc_call *call, const char *path, const void *data,
                size_t n);
/* The metadata of a call that is passed on, and whether this call was. */
extern const struct grpc_metadata server_forward_metadata[];
bool server_is_forwarded(const struct grpc_call *call);
