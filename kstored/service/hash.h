/* Hashes of the data: Maintenance.Hash and HashKV, and for the program itself. */
#pragma once

#include "kstored/server/parts.h"
#include "lib/grpc-server.h"

extern const struct server_part hash_part;

/* Gives the hash of the data at a revision (disk_hash()) to `done` later, or a negative errno:
 * -ERANGE when it was compacted meanwhile, -ETIMEDOUT, -ECANCELED. -ENOBUFS, -ENOMEM: it is not
 * begun. */
typedef void (*hash_done)(struct server *s, int result, int64_t rev, int64_t compact_rev,
                uint32_t hash, void *userdata);
int server_hash(struct server *s, int64_t rev, hash_done done, void *userdata);

void service_hash(struct grpc_call *call, const void *data, size_t n, void *server);
void service_hash_kv(struct grpc_call *call, const void *data, size_t n, void *server);
