/* etcdserverpb.Maintenance, except the calls that have their own files. */
#pragma once

#include "lib/grpc-server.h"

/* The etcd API that is served; after the plus this program's own version. */
extern const char server_version[], server_cluster_version[];

void service_alarm(struct grpc_call *call, const void *data, size_t n, void *server);
void service_status(struct grpc_call *call, const void *data, size_t n, void *server);
void service_defragment(struct grpc_call *call, const void *data, size_t n, void *server);
