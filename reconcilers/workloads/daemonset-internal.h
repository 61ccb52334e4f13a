/* Shared by the files of the DaemonSet controller: a set, the nodes, and its pods by node. */
#pragma once

#include "lib/map.h"
#include "reconcilers/workloads/history.h"

/* A node, and the set's pods that are on it or are meant for it. */
struct daemon_node {
        const json_t *node;
        bool wants; /* a pod is meant to run there */
        bool keeps; /* a pod that runs there may stay */
        /* The oldest active pod of the present revision, and of another one; NULL: none. */
        const json_t *updated, *outdated;
        const json_t *oldest;   /* of all that are active: the node's pod in the status */
        const json_t *finished; /* one that failed or succeeded and still exists */
        bool terminating;       /* some pod is being deleted */
};

struct daemons {
        const json_t *object;
        struct history history;
        struct objects pods;
        json_t *shape; /* {spec: the pod's}, with the tolerations of all of its pods */
        struct daemon_node *nodes;
        size_t node_count;
        struct map *by_name;    /* name -> struct daemon_node, borrowed */
        struct objects surplus; /* pods that are deleted: a second one, one on a wrong node */
        int64_t desired;        /* nodes that want a pod */
        int64_t min_ready_s;
        int64_t surge, unavailable; /* of the strategy, in nodes */
        bool rolling;               /* updateStrategy RollingUpdate */
};

/* --- daemonset-nodes.c --- */

void daemons_read(struct daemons *d, const struct world *w, const json_t *object);
void daemons_done(struct daemons *d);
/* The node that a pod is on or meant for; NULL for neither. */
const char *daemon_target(const json_t *pod);
/* A pod for that node; failures: how many pods before it have failed there one after the other. */
json_t *daemon_pod(const struct daemons *d, const json_t *node, int64_t failures);
bool daemon_is_updated(const struct daemons *d, const json_t *pod);
/* How many pods failed on the node before this one. */
int64_t daemon_failures(const json_t *pod);
