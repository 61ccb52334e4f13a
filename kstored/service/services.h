/* The services: rows for the tables of the gRPC servers. */
#pragma once

#include "lib/grpc-server.h"

extern const struct grpc_method server_methods[]; /* for clients */
extern const size_t server_method_count;
extern const struct grpc_method server_peer_methods[]; /* for members */
extern const size_t server_peer_method_count;
