/* What the agents measured: CPU and memory of nodes and of the containers of their pods. Kept in
 * memory only: 5,000 nodes that report every 15 s would write gigabytes a day. Each API server has
 * what was reported to it.
 *
 * A report (NodeUsage, kapid/kinds/keelson.yaml) replaces the node's previous one. It is a claim of
 * the node about itself: pods count only where the API has bound them to it, with containers that
 * they have; numbers are bounded by the schema. A node that is compromised can lie about its own
 * pods, and about nothing else. */
#pragma once

#include "kapid/cache/cache.h"
#include "lib/json.h"

enum {
        USAGE_PODS_MAX = 1000,
        USAGE_CONTAINERS_MAX = 100, /* of a pod */
        USAGE_AGE_MAX_S = 60,       /* an older report says nothing about the present */
};

struct usages;
struct usages *usages_new(void) _warn_unused_;
struct usages *usages_free(struct usages *u);
DEFINE_CLEANUP(struct usages *, usages_free);

/* Takes a valid report of the node. pods: the cache of pods, which judges it; times: wall clock and
 * monotonic. Pods that are gone, or not the node's, are left out. -ENOMEM: the report before it
 * stays. */
int usages_put(struct usages *u, const char *node, const json_t *report, const struct cache *pods,
                uint64_t now_us, uint64_t mono_us);
/* Drops the reports that are older than USAGE_AGE_MAX_S. */
void usages_sweep(struct usages *u, uint64_t mono_us);
/* How many nodes have a report. */
size_t usages_count(const struct usages *u);

/* NodeMetrics or PodMetrics (metrics.k8s.io/v1beta1) of a cached node or pod, with its labels. 1; 0
 * when there is no present report of it; -ENOMEM. */
int usages_node_metrics(const struct usages *u, struct item *node, uint64_t mono_us, json_t **ret);
int usages_pod_metrics(const struct usages *u, struct item *pod, uint64_t mono_us, json_t **ret);
