/* etcdserverpb.Lease, without LeaseKeepAlive (keepalive.h). */
#pragma once

#include "lib/grpc-server.h"

void service_lease_grant(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_revoke(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_time_to_live(struct grpc_call *call, const void *data, size_t n, void *server);
void service_lease_leases(struct grpc_call *call, const void *data, size_t n, void *server);
