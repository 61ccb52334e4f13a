/* The parts of a run's decisions (descheduling.h), and what the controller and its run share. */
#pragma once

#include "lib/client/actions.h"
#include "lib/map.h"
#include "lib/sched/sched.h"
#include "lib/selector.h"
#include "lib/vector.h"
#include "reconcilers/descheduling/descheduling.h"

enum { DESCHED_LISTED_MAX = 50, DESCHED_STRATEGIES_MAX = 32 };

/* How a node compares with the thresholds of a strategy, at its beginning. */
enum desched_level { LEVEL_MIDDLE, LEVEL_UNDER, LEVEL_OVER };

struct desched_node {
        char *name;
        bool selected; /* by filter.nodeSelector */
        enum desched_level level;
        int64_t fullness; /* thousandths of a percent of its fullest resource */
        int64_t evicted;
};

/* Pods of one controller and of the same images, by node. */
struct desched_group {
        struct map *counts; /* name of a node -> int64_t */
};

/* A pod that may be evicted. */
struct desched_pod {
        json_t *object;
        const char *uid;
        struct desched_node *node;
        struct desched_group *group; /* NULL: none is needed */
        int32_t priority;
        uint64_t start_us;
        int64_t rank;
        bool tried; /* its eviction was decided, whatever came of it */
};

/* Why pods are not evicted, in the order of the checks. */
enum desched_kept {
        KEPT_NONE,
        KEPT_MIRROR,
        KEPT_DAEMON,
        KEPT_NODE,
        KEPT_NAMESPACE,
        KEPT_LABELS,
        KEPT_SCHEDULER,
        KEPT_TERMINATING,
        KEPT_BARE,
        KEPT_STORAGE,
        KEPT_CLAIMS,
        KEPT_PRIORITY,
        KEPT_YOUNG,
        KEPT_MAX,
};

/* One resource of thresholds and targetThresholds, in percent. */
struct desched_threshold {
        const char *resource;
        double low, high;
};

struct desched_strategy {
        const struct desched_strategy_type *type;
        const json_t *args;
        VECTOR(struct desched_threshold) thresholds;
        char **words; /* excludedTaints, excludeOwnerKinds or states */
        int64_t found, evicted, would_evict, refused, failed;
        int64_t no_other_node, would_not_help, beyond_limits;
        char *message; /* why it does not look at pods; NULL: it does */
};

struct desched {
        json_t *spec;
        uint64_t now_us;
        /* the filter */
        struct label_selector *labels, *node_labels; /* NULL: any */
        int32_t priority_threshold;
        uint64_t age_min_us;
        bool local_storage, bare, ignores_claims, node_fit;
        /* the limits; INT64_MAX: none */
        int64_t total_max, node_max, namespace_max;
        /* the cluster */
        struct sched_cluster *cluster;
        const struct sched_profile *profile;
        struct map *nodes;      /* name -> struct desched_node */
        struct map *namespaces; /* name -> int64_t: evictions */
        struct map *groups;     /* struct desched_group; NULL: RemoveDuplicates is not wanted */
        VECTOR(struct desched_pod *) pods;
        size_t pod_count;
        int64_t kept[KEPT_MAX];
        /* the walk */
        VECTOR(struct desched_strategy) strategies;
        size_t current, at;
        bool begun;
        struct sched_move *move; /* of the pod that is looked at, when one was needed */
        /* the eviction that waits for its answer */
        struct desched_pod *asked;
        char *reason, *to;
        /* the report */
        int64_t evicted, would_evict, refused, failed, omitted;
        json_t *listed;
};

/* A strategy is a row in descheduling-strategies.c. */
struct desched_strategy_type {
        const char *name;
        /* It places pods better, and nothing else: a pod that finds no better node stays. */
        bool needs_node;
        /* Its reason is not about the node: the pod may come back to the same one. */
        bool may_return;
        /* Before the first pod; may be NULL. */
        void (*begin)(struct desched *d, struct desched_strategy *s);
        /* Pods of a lower rank come first, then those of lower priority, then younger ones. NULL:
         * all ranks are equal. */
        int64_t (*rank)(const struct desched *d, const struct desched_strategy *s,
                        const struct desched_pod *x);
        /* Why the pod should go, the caller's; NULL: it may stay. */
        char *(*judge)(struct desched *d, const struct desched_strategy *s, struct desched_pod *x);
        /* Whether its place on that other node is better; NULL: any is. The pod has left in
         * thought when there is a move. */
        bool (*helps)(struct desched *d, const struct desched_strategy *s,
                        const struct desched_pod *x, const struct desched_node *to);
};
const struct desched_strategy_type *desched_strategy_find(const char *name);

/* descheduling-filter.c */
/* Reads spec.filter. -EINVAL with p. */
int desched_filter_read(struct desched *d, struct problem *p);
/* Why a pod that is on a node is not evicted; KEPT_NONE: it may be. node NULL: it is not known. */
enum desched_kept desched_keeps(
                const struct desched *d, const json_t *pod, const struct desched_node *node);
const char *desched_kept_text(enum desched_kept kept);
/* When the pod started, wall clock. */
uint64_t desched_started_us(const json_t *pod);

/* descheduling-decide.c */
/* The move of the pod that is looked at; NULL when it has left meanwhile. */
struct sched_move *desched_move(struct desched *d, const struct desched_pod *x);
/* The group of a pod, made when it is the first; NULL when it has no controller. */
struct desched_group *desched_group_of(struct desched *d, const json_t *pod);
int64_t desched_group_count(const struct desched_group *g, const char *node);

/* descheduling-report.c */
void desched_list(struct desched *d, enum desched_outcome outcome, const char *message);

/* descheduling-run.c: the run as an action of the controller, about the Descheduling as it is
 * after the run was claimed. Its last write is the report. */
void action_deschedule(struct actions *a, const json_t *descheduling);
