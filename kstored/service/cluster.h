/* etcdserverpb.Cluster. */
#pragma once

#include "lib/grpc-server.h"

void service_member_add(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_remove(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_update(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_list(struct grpc_call *call, const void *data, size_t n, void *server);
void service_member_promote(struct grpc_call *call, const void *data, size_t n, void *server);
