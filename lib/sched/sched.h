/* The pure half of the scheduler: the cluster as it matters for placing pods, the plugins of
 * kube-scheduler's default profile, the choice of a node, preemption, and the explanation of all
 * of it. Nothing here does I/O or reads a clock. kschedd drives it from watches, kctl from lists.
 *
 * Pods and nodes are read once into typed structs; JSON is not read while nodes are compared.
 * Out of memory ends the program: a choice over half of the facts would be a wrong choice.
 * docs/scheduler.md describes the structures. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

struct sched_cluster;
struct sched_pod;
struct sched_profile;

/* --- the cluster --- */

struct sched_cluster *sched_cluster_new(void);
struct sched_cluster *sched_cluster_free(struct sched_cluster *c);
DEFINE_CLEANUP(struct sched_cluster *, sched_cluster_free);

/* Events that may make an unschedulable pod schedulable. */
enum {
        SCHED_NODE_ADDED = 1 << 0, /* or allocatable grew, or it became ready */
        SCHED_NODE_LABELS = 1 << 1,
        SCHED_NODE_TAINTS = 1 << 2, /* and unschedulable */
        SCHED_POD_GONE = 1 << 3,    /* deleted, finished, or its requests fell */
        SCHED_POD_PLACED = 1 << 4,  /* a pod got its node: affinity may hold now */
        SCHED_POD_CHANGED = 1 << 5, /* the labels of a placed pod, or of a namespace */
        SCHED_VOLUMES = 1 << 6,     /* a claim, volume or storage class */
        SCHED_NODE_IMAGES = 1 << 7, /* never unblocks; the scores change */
        /* No event: with what a pod waits for, on whatever node that happens. */
        SCHED_ANYWHERE = 1 << 8,
};

/* All take the API object and keep what they need. The put functions add or replace; their result
 * is the set of events (SCHED_*) that the change amounts to, 0 for none (a heartbeat). */
uint32_t sched_cluster_put_node(struct sched_cluster *c, const json_t *node);
void sched_cluster_remove_node(struct sched_cluster *c, const json_t *node);
/* A pod that is on a node and not finished is counted there. One that is not is forgotten, but a
 * pod that was assumed on a node stays until its binding is seen or sched_cluster_forget(). */
uint32_t sched_cluster_put_pod(struct sched_cluster *c, const json_t *pod);
uint32_t sched_cluster_remove_pod(struct sched_cluster *c, const json_t *pod);
/* The labels of a namespace, for namespaceSelector. */
uint32_t sched_cluster_put_namespace(struct sched_cluster *c, const json_t *ns);
void sched_cluster_remove_namespace(struct sched_cluster *c, const json_t *ns);
/* PodDisruptionBudgets, for preemption. */
void sched_cluster_put_budget(struct sched_cluster *c, const json_t *budget);
void sched_cluster_remove_budget(struct sched_cluster *c, const json_t *budget);

/* PersistentVolumeClaims, PersistentVolumes and StorageClasses, for VolumeBinding. */
uint32_t sched_cluster_put_claim(struct sched_cluster *c, const json_t *claim);
void sched_cluster_remove_claim(struct sched_cluster *c, const json_t *claim);
uint32_t sched_cluster_put_volume(struct sched_cluster *c, const json_t *volume);
void sched_cluster_remove_volume(struct sched_cluster *c, const json_t *volume);
uint32_t sched_cluster_put_storage_class(struct sched_cluster *c, const json_t *class);
void sched_cluster_remove_storage_class(struct sched_cluster *c, const json_t *class);

/* Counts a pod on a node before its binding is seen: the next choice sees it. */
void sched_cluster_assume(struct sched_cluster *c, const struct sched_pod *pod, const char *node);
/* The pod of that uid is no longer counted, wherever it was. */
void sched_cluster_forget(struct sched_cluster *c, const char *uid);
/* Forgets a pod, whichever; false: none is left. To free a large cluster piece by piece. */
bool sched_cluster_forget_one(struct sched_cluster *c);
/* Counts a pending pod (still pending) as if it were on that node for pods of its or a lower
 * priority; NULL: no longer. Borrows the pod, which must be un-nominated before it is freed. */
void sched_cluster_nominate(struct sched_cluster *c, struct sched_pod *pod, const char *node);

size_t sched_cluster_node_count(const struct sched_cluster *c);
size_t sched_cluster_pod_count(const struct sched_cluster *c);
/* The node where the pod of that uid is counted, or NULL. Borrowed. */
const char *sched_cluster_node_of(const struct sched_cluster *c, const char *uid);
/* Whether the node has a pod that is terminating and of a lower priority than that. */
bool sched_cluster_node_is_clearing(
                const struct sched_cluster *c, const char *node, int32_t priority);

/* --- profiles --- */

enum { SCHED_PROFILES_MAX = 16 };

/* A profile from an item of KubeSchedulerConfiguration's profiles[] (NULL: the default profile):
 * schedulerName, plugins (enabled and disabled for each extension point, multiPoint), pluginConfig.
 * The cluster owns it. -EINVAL with p, -E2BIG beyond SCHED_PROFILES_MAX. */
int sched_profile_add(struct sched_cluster *c, const json_t *v, const struct sched_profile **ret,
                struct problem *p);
/* Every profile of a configuration document ({apiVersion, kind: KubeSchedulerConfiguration,
 * profiles}). The number of profiles, or as sched_profile_add(). */
int sched_profiles_read(struct sched_cluster *c, const json_t *v, struct problem *p);
/* The profile that serves pods of this schedulerName, or NULL. */
const struct sched_profile *sched_profile_for(const struct sched_cluster *c, const char *name);
const char *sched_profile_name(const struct sched_profile *profile);

/* --- a pending pod --- */

/* Reads the pod once. It holds references into the cluster: free it before the cluster. */
struct sched_pod *sched_pod_new(
                struct sched_cluster *c, const struct sched_profile *profile, const json_t *pod);
struct sched_pod *sched_pod_free(struct sched_cluster *c, struct sched_pod *pod);
const char *sched_pod_key(const struct sched_pod *pod); /* "namespace/name" */
const char *sched_pod_uid(const struct sched_pod *pod);
int32_t sched_pod_priority(const struct sched_pod *pod);

/* How many of the pod's claims have no volume yet; it may be bound to the node when there are none.
 * *ret_to_select: the names of those that are to be annotated with the node, so that they get one
 * there (a strv, the caller frees). -ENOENT: a claim is gone. */
int sched_pod_claims_to_bind(const struct sched_cluster *c, const struct sched_pod *pod,
                const char *node, char ***ret_to_select);

/* --- the choice --- */

/* Why nodes were refused. Zero-initialise. Texts are copied, a text counts once for each node. */
struct sched_reasons {
        struct {
                char *text;
                size_t count;
                const char *plugin;
        } * items;
        size_t count, allocated;
        char *whole;          /* one reason for all nodes: "pod has unbound ..." */
        uint32_t events;      /* SCHED_*: what may unblock it, over the plugins that refused */
        const char *refusing; /* the plugin that refuses now: set by the framework */
};
void sched_reasons_done(struct sched_reasons *r);
#define _cleanup_sched_reasons_ _cleanup_(sched_reasons_done)

/* The best node's name, or NULL with the reasons. tie: a random number that decides between equal
 * nodes. `why` is only filled when there is no node. Borrowed until the cluster changes. */
const char *sched_choose(struct sched_cluster *c, struct sched_pod *pod, uint64_t tie,
                struct sched_reasons *why);
/* "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) ...." Caller frees. */
char *sched_message(const struct sched_cluster *c, const struct sched_reasons *why) _warn_unused_;
/* What would help, for people: a sentence for each reason, one a line; "" when there is nothing to
 * say. Caller frees. */
char *sched_advice(const struct sched_reasons *why) _warn_unused_;
/* Whether the pod might fit that node by the plugins that look only at the node and the pod: an
 * event on the node that leaves this false does not unblock the pod. */
bool sched_node_may_fit(struct sched_cluster *c, struct sched_pod *pod, const char *node);

/* The whole table of a choice, for people: {"node": name or null, "message": ..., "advice": text,
 * "refused": [{"node", "plugin", "reasons": []}], "scores": [{"node", "total", "plugins":
 * {plugin: {"raw", "score", "weight"}}}]}, best node first, refused ones by name. */
json_t *sched_explain(struct sched_cluster *c, struct sched_pod *pod);

/* --- preemption --- */

struct sched_preemption {
        char *node;     /* where the pod will fit; NULL: nowhere */
        char **victims; /* their keys, the most important first */
        unsigned violations;
        char *message;    /* why there is none, in Kubernetes' words */
        bool is_hopeless; /* no node has victims that help: what was promised before is void */
};
void sched_preemption_done(struct sched_preemption *p);
/* The victims whose end makes room for the pod: kube-scheduler's DefaultPreemption. Call it after
 * a choice that found no node. offset: a random number, where the search begins. */
void sched_preempt(struct sched_cluster *c, struct sched_pod *pod, uint64_t offset,
                struct sched_preemption *ret);

/* --- placed pods that may have to move, for a descheduler (move.c) --- */

/* How much of a resource the pods of the node request, and how much it has: "cpu" in thousandths,
 * "pods", others in whole units. False: the cluster has no such node. */
struct sched_usage {
        int64_t used, allocatable;
};
bool sched_cluster_usage(const struct sched_cluster *c, const char *node, const char *resource,
                struct sched_usage *ret);
/* Whether the node itself lets new pods come: ready, neither unschedulable nor being deleted. */
bool sched_cluster_node_is_open(const struct sched_cluster *c, const char *node);

/* About the placed pod of that uid, on the node where it is; false when there is none. */
/* How much of a resource it requests, as sched_cluster_usage(); "pods": 1. */
int64_t sched_placed_request(const struct sched_cluster *c, const char *uid, const char *resource);
/* Its node selector or required node affinity no longer allows the node (plugin NodeAffinity). */
bool sched_placed_breaks_affinity(const struct sched_cluster *c,
                const struct sched_profile *profile, const char *uid);
/* The first taint of the node, as "key=value:Effect", that forbids it the node (plugin
 * TaintToleration) and is not among `excluded` ("key" or "key=value", a strv). NULL: none. Caller
 * frees. */
char *sched_placed_untolerated(const struct sched_cluster *c, const char *uid,
                char *const *excluded) _warn_unused_;
/* Whether a required anti-affinity, its own or another pod's, may concern it at all. A cheap no. */
bool sched_placed_may_clash(const struct sched_cluster *c, const char *uid);

/* A placed pod that has left its node in thought: it is not counted, and the questions are those
 * that the scheduler would ask about it now. Free it before the cluster changes otherwise. */
struct sched_move;
/* pod: the object of a placed pod; borrowed for the call. NULL: it is on no node that is known. */
struct sched_move *sched_move_new(
                struct sched_cluster *c, const struct sched_profile *profile, const json_t *pod);
/* The pod is on its node again. */
struct sched_move *sched_move_free(struct sched_move *m);
DEFINE_CLEANUP(struct sched_move *, sched_move_free);
/* A required anti-affinity forbids its node (plugin InterPodAffinity without affinity). */
bool sched_move_clashes(const struct sched_move *m);
/* On its node it would exceed a maxSkew of its topology spread constraints (plugin
 * PodTopologySpread); soft: those of ScheduleAnyway count too. */
bool sched_move_skews(const struct sched_move *m, bool soft);
/* Where the scheduler would place it now; of equal nodes its own. NULL: nowhere. *ret_elsewhere:
 * whether another node than its own would take it. Borrowed until the cluster changes. */
const char *sched_move_choose(struct sched_move *m, bool *ret_elsewhere);
/* Frees m; the pod is counted on that node from now on, or on none (NULL). */
void sched_move_to(struct sched_move *m, const char *node);
