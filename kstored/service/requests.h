/* Requests that change something: each waits until its entry is applied, for a limited time, and is
 * answered exactly once, unless its client went away first. */
#pragma once

#include "kstored/server/parts.h"
#include "kstored/state/state.h"
#include "lib/grpc-server.h"

enum { REQUESTS_MAX = 50000 }; /* that wait for the log or a read barrier */

extern const struct server_part requests_part;

/* Called once: with the outcome, or with an error and no answer. */
typedef void (*request_done)(
                struct server *s, struct grpc_call *call, const struct outcome *o, void *userdata);

/* Proposes a command for a call, which `done` answers (NULL: the standard answer). call NULL: no
 * client waits. Copies the data. */
void server_propose(struct server *s, struct grpc_call *call, enum command_kind kind,
                const void *data, size_t n, request_done done);
/* The same for a change of membership; only on the leader. */
void server_propose_change(struct server *s, struct grpc_call *call,
                const struct raft_change *change, const void *data, size_t n, request_done done);
/* STORE_TOO_LARGE for requests of this many bytes that etcd would not take either. */
enum store_error server_check_size(const struct server *s, size_t bytes);

/* For the replica's driver: whether a call waits for the entry with this id, and its outcome. */
bool requests_waiting(const struct server *s, uint64_t id);
void requests_outcome(struct server *s, uint64_t id, const struct outcome *o);
/* Answers all of them with an error. */
void requests_fail_all(struct server *s, enum store_error e);
/* How many wait, and whether they and the reads are REQUESTS_MAX already. */
size_t requests_pending(const struct server *s);
bool requests_are_too_many(const struct server *s);
