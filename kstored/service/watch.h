/* etcdserverpb.Watch; the watchers themselves: mvcc/watch.h. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part watch_part; /* watchers that lag catch up */

void service_watch(struct grpc_call *call, const void *data, size_t n, void *server);
