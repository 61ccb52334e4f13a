/* etcdserverpb.Lease/LeaseKeepAlive. */
#pragma once

#include "lib/grpc-server.h"

void service_lease_keep_alive(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_half_close(struct grpc_call *call, void *server);
