/* What /metrics says of the store, under etcd's names for what means the same (docs/monitoring.md).
 */
#pragma once

#include "lib/metrics.h"

struct server;

/* Counted where it happens; all else is asked for when /metrics is. */
struct server_counts {
        uint64_t leader_changes, leader; /* leader: the last one that was seen */
        uint64_t proposals_failed, read_indexes_failed, read_indexes_slow, slow_applies;
        uint64_t health_ok, health_failed;
        uint64_t defragmenting;
};

/* A member's messages. */
void server_count_received(struct server *s, uint64_t from, size_t bytes, bool failed);

struct server_metrics;
/* Takes over the rendering of m: nobody else may metrics_on_render(). */
int server_metrics_new(struct server_metrics **ret, struct server *s, struct metrics *m);
struct server_metrics *server_metrics_free(struct server_metrics *x);
/* The log was saved, the database written, in so many microseconds. */
void server_metrics_saved(struct server_metrics *x, uint64_t us);
void server_metrics_flushed(struct server_metrics *x, uint64_t us);
void server_metrics_defragmented(struct server_metrics *x, uint64_t us);
void server_metrics_round_trip(struct server_metrics *x, uint64_t member, uint64_t us);
/* The outcome of one check of /livez or /readyz. */
void server_metrics_check(struct server_metrics *x, const char *type, const char *name, bool ok);
