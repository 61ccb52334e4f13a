/* Claims, volumes and storage classes in the scheduler's cluster. */
#pragma once

#include "lib/sched/internal.h"

/* A PersistentVolume. */
struct sched_volume {
        json_t *object;
        struct sched_node_filter *filter; /* its nodeAffinity; NULL: any node */
        bool is_unbound;                  /* in the cluster's list of these */
        LIST_ENTRY(sched_volume) unbound;
};

void sched_volumes_free(struct sched_cluster *c);
/* Whether the claim has its volume. */
bool sched_claim_is_bound(const json_t *claim);
