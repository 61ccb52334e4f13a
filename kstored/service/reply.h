/* Helpers of all services: reading a request's message, refusing a call, answering it. */
#pragma once

#include "kstored/errors.h"
#include "kstored/server/parts.h"
#include "kstored/state/answer.h"
#include "lib/grpc-server.h"
#include "proto/rpc.pb-c.h"

/* The etcdserverpb message `name` (as protobuf-c spells it), in the arena of this turn; NULL when
 * it cannot be read. */
#define UNPACK(s, name, data, n) etcdserverpb__##name##__unpack(&(s)->arena.allocator, (n), (data))

extern const struct server_part reply_part;

/* Ends a call with an error. */
void server_refuse(struct grpc_call *call, enum store_error e);
/* etcd's ResponseHeader, as field 1. */
void server_header(const struct server *s, struct buf *b, int64_t rev);
/* The answer: header, then fields (NULL: none). */
void server_reply(struct server *s, struct grpc_call *call, int64_t rev, const struct buf *fields);
/* The same where fields may be long; takes what a holds. */
void server_answer(struct server *s, struct grpc_call *call, int64_t rev, struct kv_answer *a);
/* Sends head and then a large answer; takes what both hold. A change that it answers is made even
 * when this is refused: as with etcd's time-out, the client does not know then. */
void server_send_answer(
                struct server *s, struct grpc_call *call, struct buf *head, struct kv_answer *a);
