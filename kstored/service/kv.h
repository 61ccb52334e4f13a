/* etcdserverpb.KV. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part kv_part;

void service_range(struct grpc_call *call, const void *data, size_t n, void *server);
void service_put(struct grpc_call *call, const void *data, size_t n, void *server);
void service_delete_range(struct grpc_call *call, const void *data, size_t n, void *server);
void service_txn(struct grpc_call *call, const void *data, size_t n, void *server);
void service_compact(struct grpc_call *call, const void *data, size_t n, void *server);
