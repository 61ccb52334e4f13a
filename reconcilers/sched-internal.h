/* The scheduler's pure half: the cluster as it matters for placing pods, the plugins, and the
 * choice. Nothing here does I/O or reads a clock. */
#pragma once

#include "lib/buf.h"
#include "lib/client/node-affinity.h"
#include "lib/json.h"
#include "lib/map.h"

/* Resource kinds, found by name once; cpu is counted in thousandths, the others in whole units. */
enum { RESOURCE_CPU, RESOURCE_MEMORY, RESOURCE_STORAGE, RESOURCE_EXTENDED, RESOURCES_MAX = 16 };
struct resource_names {
        char *names[RESOURCES_MAX];
        size_t count;
};
struct resources {
        int64_t v[RESOURCES_MAX];
};

/* A pod as plugins need it. */
struct sched_pod {
        json_t *object;    /* a reference */
        char *key;         /* "namespace/name" */
        const char *uid;   /* in object */
        const char *owner; /* uid of its controller, "" without */
        struct resources requests;
        int64_t score_cpu, score_memory; /* requests, or small defaults where there are none */
        struct sched_node *node;         /* where it is counted */
        bool assumed;                    /* bound by this scheduler, not yet seen in the watch */
};

struct sched_node {
        json_t *object; /* NULL: pods name it, but it is not known (yet) */
        char *name;
        struct resources allocatable, used;
        int64_t pods_max, score_cpu, score_memory;
        struct sched_pod **pods;
        size_t pod_count, pod_allocated;
};

struct cluster {
        struct resource_names names;
        struct map *nodes; /* name -> sched_node */
        struct map *pods;  /* uid -> sched_pod, those that are on a node */
        size_t node_count; /* of those with an object */
};

int cluster_init(struct cluster *c);
void cluster_done(struct cluster *c);
/* Adds or replaces; takes references. */
void cluster_put_node(struct cluster *c, const json_t *node);
void cluster_remove_node(struct cluster *c, const json_t *node);
/* Counts a pod that is on a node and not finished; anything else is taken out. */
void cluster_put_pod(struct cluster *c, const json_t *pod);
void cluster_remove_pod(struct cluster *c, const json_t *pod);
/* Counts a pod on a node before its binding is seen; cluster_forget takes it out again. */
void cluster_assume(struct cluster *c, const json_t *pod, const char *node);
void cluster_forget(struct cluster *c, const char *uid);

struct sched_pod *sched_pod_new(struct cluster *c, const json_t *pod);
struct sched_pod *sched_pod_free(struct sched_pod *p);
DEFINE_CLEANUP(struct sched_pod *, sched_pod_free);

/* Events that may make an unschedulable pod schedulable. */
enum {
        SCHED_NODE_ADDED = 1 << 0, /* or allocatable grew, or it became ready */
        SCHED_NODE_LABELS = 1 << 1,
        SCHED_NODE_TAINTS = 1 << 2, /* and unschedulable */
        SCHED_POD_GONE = 1 << 3,
};
/* The events (SCHED_*) between two states of a node (old NULL: new node). */
uint32_t sched_node_events(const json_t *old, const json_t *node);

/* Why nodes were refused: reason -> number of nodes. */
struct reasons {
        struct map *counts; /* reason -> size_t as pointer */
        uint32_t events;    /* what may unblock, over the plugins that refused */
};
int reasons_init(struct reasons *r);
void reasons_done(struct reasons *r);
void reasons_add(struct reasons *r, const char *fmt, ...) _printf_(2, 3);

struct sched_plugin {
        const char *name;
        /* Whether the pod may run there; adds the reason why not. NULL: no filter. */
        bool (*filter)(const struct cluster *c, const struct sched_pod *pod,
                        const struct sched_node *node, struct reasons *why);
        /* How well it would be there, 0..100 (unless normalize); more is better. NULL: no score. */
        int64_t (*score)(const struct cluster *c, const struct sched_pod *pod,
                        const struct sched_node *node);
        bool normalize; /* scores are raw: scaled to 0..100 by their maximum */
        unsigned weight;
        uint32_t events; /* SCHED_*: what may change its no */
};
extern const struct sched_plugin sched_plugins[];
extern const size_t sched_plugins_count;

/* The best node for the pod, or NULL with the reasons. tie: decides between equals. */
const struct sched_node *sched_choose(const struct cluster *c, const struct sched_pod *pod,
                uint64_t tie, struct reasons *why);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...." Caller frees. */
char *sched_message(const struct cluster *c, const struct reasons *why) _warn_unused_;

/* The weights of the preferred node affinities that match (sched-affinity.c). */
int64_t node_preference(const json_t *pod, const json_t *node);
