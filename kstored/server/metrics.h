/* The store's figures at /metrics, under etcd's names where they mean the same
 * (docs/monitoring.md). Counters are in server_counts (server.h); the rest is read when /metrics is
 * requested, and observed here. */
#pragma once

#include <stdbool.h>

#include "kstored/server/parts.h"

/* Takes over the rendering of server->all_metrics: nobody else may metrics_on_render(). */
extern const struct server_part metrics_part;

/* A message of a member: its bytes, and whether it failed. */
void server_count_received(struct server *s, uint64_t from, size_t bytes, bool failed);
/* How long in microseconds the log took to be durable, a transaction of the database,
 * defragmenting, a ping of a member. */
void server_metrics_saved(struct server *s, uint64_t us);
void server_metrics_flushed(struct server *s, uint64_t us);
void server_metrics_defragmented(struct server *s, uint64_t us);
void server_metrics_round_trip(struct server *s, uint64_t member, uint64_t us);
/* The outcome of one check of /livez or /readyz. */
void server_metrics_check(struct server *s, const char *type, const char *name, bool ok);
