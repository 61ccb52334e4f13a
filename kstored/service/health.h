/* grpc.health.v1.Health. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part health_part;

void service_health_check(struct grpc_call *call, const void *data, size_t n, void *server);
void service_health_watch(struct grpc_call *call, const void *data, size_t n, void *server);
