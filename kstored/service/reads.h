/* Linearizable reads: each waits for a read barrier, for a limited time, and is served exactly
 * once, unless its client went away first. */
#pragma once

#include "kstored/errors.h"
#include "kstored/raft/raft.h"
#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part reads_part;

/* Runs `serve` with a copy of the bytes when a linearizable read may be served. */
typedef void (*read_serve)(struct server *s, struct grpc_call *call, const void *data, size_t n);
void server_read(struct server *s, struct grpc_call *call, const void *data, size_t n,
                read_serve serve);
/* Calls `ready` when a linearizable read may be served, or with an error when it may not: for calls
 * that wait for several things at once. Always once and never before this returns, unless this
 * returns an error. */
typedef void (*read_ready)(struct server *s, enum store_error e, void *userdata);
enum store_error server_read_wait(struct server *s, read_ready ready, void *userdata);

/* For the replica's driver: Raft has answered a barrier; entries were applied. */
void reads_allowed(struct server *s, const struct raft_read *read);
void reads_serve(struct server *s);
/* How many wait, and whether any waits for a barrier that is not asked for yet. */
size_t reads_pending(const struct server *s);
bool reads_gathering(const struct server *s);
