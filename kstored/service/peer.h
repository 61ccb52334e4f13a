/* keelsonpeer.Peer, the side that is called: calls of other members. */
#pragma once

#include "kstored/replica/peer-wire.h"
#include "lib/grpc-server.h"

struct server;

/* Ends a call of a member; removed: because it was removed from the cluster. */
void peer_refuse(struct grpc_call *call, const char *why, bool removed);
/* Whether a member's Hello is right; else the call was ended with the reason. */
bool peer_hello_ok(struct server *s, struct grpc_call *call, const Keelsonpeer__Hello *h);

void service_peer_messages(struct grpc_call *call, const void *data, size_t n, void *server);
void service_peer_half_close(struct grpc_call *call, void *server);
void service_peer_members(struct grpc_call *call, const void *data, size_t n, void *server);
