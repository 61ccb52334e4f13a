/* The structs of lib/sched/: what a pod and a node are read into, the indexes over them, the
 * plugin table and the state of one decision. */
#pragma once

#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/map.h"
#include "lib/sched/sched.h"
#include "lib/selector.h"
#include "lib/taints.h"
#include "lib/vector.h"

/* Appends; out of memory ends the program. */
#define sched_append(vector, item) assert(vector_append(vector, item) >= 0)

void *sched_alloc(size_t count, size_t size); /* zeroed, never NULL */
char *sched_strdup(const char *s);            /* never NULL; NULL is "" */
/* Keeps a reference to the object under the key, in a map that releases its values. */
void sched_keep(struct map *m, const char *key, const json_t *object);
/* `*items` grows to `count` items of `size`, the new ones filled with the byte `fill`. */
void sched_grow(void *items, size_t *allocated, size_t count, size_t size, int fill);

/* --- resources: cpu in thousandths, the others in whole units --- */

enum { RESOURCE_CPU, RESOURCE_MEMORY, RESOURCE_STORAGE, RESOURCES_MAX = 32 };
struct sched_resources {
        int64_t v[RESOURCES_MAX];
        bool unknown; /* and resources that there was no id for */
};
struct sched_amount {
        unsigned id;
        int64_t amount;
};

/* --- parts of pods and nodes --- */

struct sched_taint {
        char *key, *value;
        enum taint_effect effect;
};
struct sched_toleration {
        char *key, *value;
        enum taint_effect effect;
        enum toleration_operator op;
};
struct sched_tolerations { /* a vector */
        struct sched_toleration *items;
        size_t count, allocated;
};
struct sched_port {
        int64_t port;
        char *protocol, *ip; /* ip "": any */
};
struct sched_ports { /* a vector */
        struct sched_port *items;
        size_t count, allocated;
};
/* An image that nodes have or pods want. */
struct sched_image {
        char *name; /* with a tag */
        int64_t size;
        size_t nodes; /* that have it */
        unsigned refs;
};
struct sched_images { /* a vector */
        struct sched_image **items;
        size_t count, allocated;
};

/* --- terms (terms.c) --- */

/* A topology key: a label whose values divide the nodes into domains. */
struct sched_key {
        char *name;
        unsigned refs;
        int32_t *domain; /* by slot; -1: the node has no such label */
        size_t slots;
        struct map *ids; /* value -> id + 1 */
        struct {
                char *value; /* NULL: free */
                int32_t nodes;
        } * domains;
        size_t count, allocated;
        LIST_ENTRY(sched_key) all;
};

/* A rule about nodes (node-filter.c): nodeSelector and node affinity, perhaps tolerations, perhaps
 * labels that must exist. The answers are kept for every node. */
struct sched_node_filter {
        char *text; /* what it is made of: equal texts share one */
        unsigned refs;
        json_t *selector, *terms; /* nodeSelector; nodeSelectorTerms */
        bool has_terms;           /* an empty list matches nothing */
        struct sched_tolerations tolerations;
        bool judges_taints;
        char **keys;
        uint8_t *match; /* by slot */
        size_t slots;
        LIST_ENTRY(sched_node_filter) all;
};

/* One rule about pods: of which namespaces, with which labels, of which controller. */
struct sched_match {
        char **namespaces;                    /* these ... */
        struct label_selector *of_namespaces; /* ... and those with such labels; NULL: none */
        struct label_selector *labels;        /* NULL: any */
        char *owner;                          /* uid of the controller; NULL: any */
};

/* Pods that all of the rules match. */
struct sched_selector {
        char *text;
        unsigned refs;
        VECTOR(struct sched_match) rules;
        VECTOR(struct sched_class *) classes; /* those that it matches */
        VECTOR(struct sched_tally *) tallies;
        VECTOR(struct sched_held *) held;
        LIST_ENTRY(sched_selector) all;
};

/* Placed pods that a selector matches, counted by domain. Kept up to date with every pod. */
struct sched_tally {
        struct sched_selector *selector;
        struct sched_key *key;
        struct sched_node_filter *filter; /* only nodes that it matches; NULL: all */
        bool skips_terminating;
        unsigned refs;
        int32_t *counts, *nodes; /* by domain; nodes: that the filter matches (with a filter) */
        size_t counts_allocated, nodes_allocated;
        int64_t total;
        TAILQ_ENTRY(sched_tally) unused; /* without references, oldest first */
        LIST_ENTRY(sched_tally) filtered;
};

/* A term of placed pods about other pods, counted by domain of those that hold it. */
enum sched_held_kind { HELD_ANTI, HELD_AFFINITY, HELD_PREFERRED };
struct sched_held {
        struct sched_selector *selector;
        struct sched_key *key;
        enum sched_held_kind kind;
        int64_t weight; /* of a preferred term; anti-affinity negative */
        unsigned refs;
        int32_t *counts;
        size_t counts_allocated;
        int64_t total;
};

/* --- pods --- */

struct sched_weighted_filter {
        struct sched_node_filter *filter;
        int64_t weight;
};

/* All that plugins ask of a pod when they look at one node: pods of one template share it, and the
 * answers with it. */
struct sched_shape {
        char *signature;
        unsigned refs;
        VECTOR(struct sched_amount) requests;
        bool wants_unknown;              /* and resources beyond RESOURCES_MAX: no node has them */
        int64_t score_cpu, score_memory; /* requests, or small defaults where there are none */
        struct sched_ports ports;
        struct sched_images images;
        size_t containers;
        struct sched_tolerations tolerations;
        struct sched_node_filter *required; /* NULL: any node */
        VECTOR(struct sched_weighted_filter) preferred;
        char *node_name; /* spec.nodeName of a pod that is not placed, or "" */
        bool tolerates_unschedulable, tolerates_not_ready;
        struct sched_scan *scans[SCHED_PROFILES_MAX];
        TAILQ_ENTRY(sched_shape) unused;
};

/* What selectors see of a pod. */
struct sched_class {
        char *signature;
        unsigned refs;
        char *ns, *owner;
        json_t *labels;
        LIST_HEAD(, sched_pod) pods;               /* placed ones */
        VECTOR(struct sched_selector *) selectors; /* that match it */
};

struct sched_spread {
        struct sched_tally *tally;
        int64_t max_skew, min_domains;
        bool hard, self, hostname;
};
struct sched_weighted {
        struct sched_tally *tally;
        int64_t weight;
};

struct sched_pod {
        char *key, *uid;
        struct sched_shape *shape;
        struct sched_class *class;
        int32_t priority;
        bool terminating, assumed, never_preempts;
        uint64_t start_us; /* status.startTime or creation */
        VECTOR(struct sched_held *) held;

        /* placed */
        struct sched_node *node;
        size_t node_index;
        LIST_ENTRY(sched_pod) of_class;

        /* pending */
        const struct sched_profile *profile; /* NULL: placed */
        VECTOR(struct sched_tally *) affinity, anti;
        bool affinity_self; /* its own affinity terms match it */
        VECTOR(struct sched_weighted) preferred;
        VECTOR(struct sched_spread) spread;
        bool spread_by_default; /* constraints of the profile: nodes without a key still count */
        char *ns;
        char **claims; /* names of PersistentVolumeClaims */
        struct sched_node *nominated;
};

/* --- nodes --- */

enum { NO_SLOT = -1 };
struct sched_node {
        json_t *object; /* NULL: pods name it, but it is not known (yet) */
        char *name;
        int32_t slot;
        struct sched_resources allocatable, used;
        int64_t pods_max, score_cpu, score_memory;
        VECTOR(struct sched_taint) taints;
        VECTOR(struct sched_port *) ports; /* of its pods */
        struct sched_images images;
        bool unschedulable, ready, deleting;
        VECTOR(struct sched_pod *) pods;
        VECTOR(struct sched_pod *) nominated;
};

/* --- answers kept (scan.c) --- */

enum { RAW_MAX = 4 };
/* What the plugins that look at one node at a time say about pods of a shape, by slot. */
struct sched_scan {
        uint64_t seen, images_epoch;
        size_t slots;
        uint8_t *refused;      /* 0, or 1 + the first plugin that refuses; NO_NODE: an empty slot */
        int32_t *sum;          /* weighted scores that need no scaling; -1: refused */
        int32_t *raw[RAW_MAX]; /* scores that are scaled over the nodes that fit */
        size_t raw_set[RAW_MAX]; /* nodes with another value than 0 */
};
enum { NO_NODE = 255, BY_NOMINATED = 254 };

/* --- the cluster --- */

enum { CHANGES_MAX = 1 << 14 };
struct sched_cluster {
        struct map *nodes, *pods;             /* name -> node; uid -> placed pod */
        struct map *namespaces;               /* name -> labels */
        struct map *budgets;                  /* key -> PodDisruptionBudget as json_t */
        struct map *claims, *storage_classes; /* key or name -> json_t */
        struct map *claim_users;              /* key -> size_t: placed pods that use it */
        struct map *volumes;                  /* name -> struct sched_volume */
        LIST_HEAD(, sched_volume) unbound_volumes;
        struct map *shapes, *classes, *selectors, *keys, *filters, *images;
        char *resource_names[RESOURCES_MAX];
        size_t resource_count;
        VECTOR(struct sched_node *) slots; /* NULL: free */
        size_t node_count, slots_allocated;
        VECTOR(struct sched_profile *) profiles;
        LIST_HEAD(, sched_key) all_keys;
        LIST_HEAD(, sched_node_filter) all_filters;
        LIST_HEAD(, sched_selector) all_selectors;
        LIST_HEAD(, sched_tally) filtered;
        TAILQ_HEAD(, sched_tally) unused_tallies;
        size_t unused_tally_count;
        TAILQ_HEAD(, sched_shape) unused_shapes;
        size_t unused_shape_count;
        uint32_t changes[CHANGES_MAX]; /* slots, a ring */
        uint64_t change_count, images_epoch;
        VECTOR(struct sched_pod *) nominated;
        /* scratch of a decision, by slot */
        uint8_t *refused;
        int32_t *total;
        double *sums;
        size_t refused_allocated, total_allocated, sums_allocated;
};

/* --- plugins --- */

enum sched_verdict { FITS, REFUSED, UNRESOLVABLE /* and preemption would not help */ };
enum sched_scaling {
        SCALE_NONE,    /* scores are 0..100 */
        SCALE_UP,      /* raw: the largest of the nodes that fit becomes 100 */
        SCALE_REVERSE, /* raw: 0 becomes 100, the largest 0 */
};

/* One decision. */
enum { HARD_MAX = 32, SOURCES_MAX = 256, PLUGINS_MAX = 24 };
struct sched_decision {
        struct sched_cluster *cluster;
        const struct sched_profile *profile;
        struct sched_pod *pod;
        struct sched_scan *scan;
        size_t slots;
        uint8_t *refused;         /* as in the scan, and by the others */
        int32_t *total;           /* -1: refused */
        bool active[PLUGINS_MAX]; /* wide filters that have something to say */
        /* PodTopologySpread */
        struct {
                const struct sched_spread *constraint;
                int64_t min;
        } hard[HARD_MAX];
        size_t hard_count;
        /* InterPodAffinity */
        VECTOR(const struct sched_held *) refusing; /* terms of placed pods against this one */
        bool first; /* no pod that its affinity names is there, and it is one itself */
        /* VolumeBinding */
        VECTOR(const struct sched_node_filter *) volume_filters; /* of volumes of bound claims */
        VECTOR(const json_t *) unbound;                          /* claims that wait for a node */
        bool volume_missing;
};

/* Whether the pod may run there (enum sched_verdict); adds the reasons why not when why is not
 * NULL. */
typedef int sched_filter_func(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node,
                struct sched_reasons *why);
typedef int64_t sched_score_func(const struct sched_cluster *c, const struct sched_profile *profile,
                const struct sched_shape *shape, const struct sched_node *node);
/* Prepares a decision. 0: it has nothing to say; 1: ask the filter; negative: no node will do, and
 * why->whole says why. */
typedef int sched_begin_func(struct sched_decision *d, struct sched_reasons *why);
typedef int sched_wide_filter_func(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why);
/* Scores 0..100 of the nodes that fit (total >= 0), by slot. False: nothing to say. */
typedef bool sched_wide_score_func(const struct sched_decision *d, double *scores);

/* A plugin is a row in plugins.c. `filter` and `score` look at one node and the pod's shape: their
 * answers are kept until that node changes. `wide_*` look at other nodes' pods: they run for every
 * decision, after the former. */
struct sched_plugin {
        const char *name;
        unsigned weight; /* of its score, in the default profile */
        uint32_t events; /* SCHED_*: what may change its no */
        sched_filter_func *filter;
        sched_score_func *score;
        enum sched_scaling scaling;
        sched_begin_func *begin;
        sched_wide_filter_func *wide_filter;
        sched_wide_score_func *wide_score;
        const char *advice; /* what helps against its no */
};
extern const struct sched_plugin sched_plugins[];
extern const size_t sched_plugins_count;

/* Adds a reason, for one node. */
void sched_reason(struct sched_reasons *why, const char *fmt, ...) _printf_(2, 3);
/* The reason for all nodes; the last one counts. */
void sched_reason_whole(struct sched_reasons *why, const char *fmt, ...) _printf_(2, 3);

/* --- profiles (profile.c) --- */

enum sched_strategy { STRATEGY_LEAST, STRATEGY_MOST, STRATEGY_RATIO };
struct sched_resource_weight {
        unsigned id;
        int64_t weight;
};
struct sched_point { /* utilization 0..100, score 0..10 */
        int64_t utilization, score;
};
struct sched_profile {
        char *name;
        unsigned index;
        bool filters[PLUGINS_MAX];    /* by plugin */
        unsigned scores[PLUGINS_MAX]; /* weights; 0: off */
        bool preempts;
        /* NodeResourcesFit and NodeResourcesBalancedAllocation */
        enum sched_strategy strategy;
        VECTOR(struct sched_resource_weight) resources, balanced;
        VECTOR(struct sched_point) shape;
        char **ignored_resources, **ignored_groups;
        /* NodeAffinity */
        struct sched_node_filter *added;
        VECTOR(struct sched_weighted_filter) added_preferred;
        /* InterPodAffinity */
        int64_t hard_weight;
        bool ignore_preferred_of_existing;
        /* PodTopologySpread */
        json_t *default_constraints; /* NULL: the system's */
};
void sched_profile_free(struct sched_cluster *c, struct sched_profile *p);

/* --- inside the folder --- */

/* shape.c: shared parts of pods */
struct sched_shape *sched_shape_get(struct sched_cluster *c, const json_t *pod, bool pending);
void sched_shape_put(struct sched_cluster *c, struct sched_shape *s);
void sched_shape_free(struct sched_cluster *c, struct sched_shape *s);
struct sched_class *sched_class_get(struct sched_cluster *c, const json_t *pod);
void sched_class_put(struct sched_cluster *c, struct sched_class *class);
unsigned sched_resource_id(struct sched_cluster *c, const char *name); /* RESOURCES_MAX: no room */
int64_t sched_resource_amount(unsigned id, const json_t *v);
struct sched_image *sched_image_get(struct sched_cluster *c, const char *name);
void sched_images_done(struct sched_cluster *c, struct sched_images *images);
void sched_scan_free(struct sched_scan *s);

/* node-filter.c */
/* NULL when every argument is empty. terms: a list of nodeSelectorTerms, NULL: none. tolerations:
 * NULL: taints do not matter. keys: a strv of labels that must exist, copied. */
struct sched_node_filter *sched_filter_get(struct sched_cluster *c, const json_t *selector,
                const json_t *terms, const json_t *tolerations, char *const *keys);
struct sched_node_filter *sched_filter_put(struct sched_cluster *c, struct sched_node_filter *f);
void sched_filter_judge(struct sched_node_filter *f, const struct sched_node *node);
void sched_tolerations_parse(const json_t *list, struct sched_tolerations *ret);
void sched_tolerations_done(struct sched_tolerations *t);
bool sched_tolerates(const struct sched_tolerations *t, const char *key, const char *value,
                enum taint_effect effect);
/* The next taint, from index *at on, that forbids pods of the shape the node and that they do not
 * tolerate. NULL: none. *at: the index after it. */
const struct sched_taint *sched_next_untolerated(
                const struct sched_shape *shape, const struct sched_node *node, size_t *at);

/* terms.c */
struct sched_key *sched_key_get(struct sched_cluster *c, const char *name);
struct sched_key *sched_key_put(struct sched_cluster *c, struct sched_key *k);
void sched_key_enter(struct sched_key *k, const struct sched_node *node);
void sched_key_leave(struct sched_key *k, const struct sched_node *node);
/* Takes the rules; equal rules share one. */
struct sched_selector *sched_selector_get(
                struct sched_cluster *c, struct sched_match *rules, size_t count);
void sched_selector_put(struct sched_cluster *c, struct sched_selector *s);
bool sched_selector_matches(const struct sched_cluster *c, const struct sched_selector *s,
                const struct sched_class *class);
void sched_selector_recheck(struct sched_cluster *c, const char *ns);
void sched_class_enter(struct sched_cluster *c, struct sched_class *class);
void sched_class_leave(struct sched_class *class);
void sched_match_done(struct sched_match *m);
/* Takes the reference to filter (may be NULL); borrows selector. */
struct sched_tally *sched_tally_get(struct sched_cluster *c, struct sched_selector *s,
                const char *key, struct sched_node_filter *filter, bool skips_terminating);
void sched_tally_put(struct sched_cluster *c, struct sched_tally *t);
void sched_tallies_trim(struct sched_cluster *c, size_t keep);
void sched_tally_node(struct sched_tally *t, const struct sched_node *node, int by);
struct sched_held *sched_held_get(struct sched_cluster *c, struct sched_selector *s,
                const char *key, enum sched_held_kind kind, int64_t weight);
void sched_held_put(struct sched_cluster *c, struct sched_held *h);
/* The pod on its node enters (by 1) or leaves (-1) every count. */
void sched_terms_count(struct sched_pod *pod, int by);
static inline int32_t sched_count_at(const int32_t *counts, size_t allocated, int32_t domain) {
        return domain >= 0 && (size_t)domain < allocated ? counts[domain] : 0;
}
static inline int32_t sched_domain(const struct sched_key *k, int32_t slot) {
        return slot >= 0 && (size_t)slot < k->slots ? k->domain[slot] : -1;
}

/* pod-terms.c: affinity and spread of a pod into held, affinity, anti, preferred, spread */
void sched_pod_terms(struct sched_cluster *c, struct sched_pod *pod, const json_t *object);
void sched_pod_terms_done(struct sched_cluster *c, struct sched_pod *pod);

/* cluster.c */
void sched_node_changed(struct sched_cluster *c, const struct sched_node *node);
/* Moves a placed pod out of the counts of its node and back, for what-if questions. */
void sched_detach(struct sched_cluster *c, struct sched_pod *pod);
void sched_attach(struct sched_cluster *c, struct sched_pod *pod, struct sched_node *node);

/* volumes.c: the placed pod uses its claims (by 1), or no longer (-1). */
void sched_claims_count(struct sched_cluster *c, const struct sched_pod *pod, int by);

/* node.c */
struct sched_node *sched_node_get(struct sched_cluster *c, const char *name);
void sched_node_maybe_drop(struct sched_cluster *c, struct sched_node *n);
void sched_node_free(struct sched_cluster *c, struct sched_node *n);

/* scan.c and decide.c */
struct sched_scan *sched_scan_get(struct sched_cluster *c, const struct sched_profile *profile,
                struct sched_shape *shape);
/* Prepares a decision: filters run, wide ones too. 0, or negative: no node, see why->whole. */
int sched_decision_begin(struct sched_decision *d, struct sched_cluster *c, struct sched_pod *pod,
                struct sched_reasons *why);
void sched_decision_done(struct sched_decision *d);
/* Every filter on one node as the cluster is now (begin again after a change of pods). */
int sched_decision_node(const struct sched_decision *d, const struct sched_node *node,
                struct sched_reasons *why);
/* The wide plugins' begin() alone, after pods were moved. As sched_decision_begin(). */
int sched_decision_again(struct sched_decision *d, struct sched_reasons *why);
/* Counts the pods that were promised the node, when their priority is at least that of the
 * decision's pod. The number of those. */
size_t sched_attach_nominated(struct sched_decision *d, struct sched_node *node);
void sched_detach_nominated(struct sched_decision *d, struct sched_node *node);
/* Adds the scores to the totals. explain: called for each plugin, or NULL. */
typedef void (*sched_scores_func)(const struct sched_decision *d, size_t plugin,
                const double *scores, void *userdata);
void sched_decision_score(struct sched_decision *d, sched_scores_func explain, void *userdata);
/* Of the best nodes the one that `tie` says; NULL when none fits. */
const struct sched_node *sched_decision_pick(const struct sched_decision *d, uint64_t tie);

/* The plugins' functions, each in plugin-<topic>.c. */
sched_filter_func sched_unschedulable_filter, sched_ready_filter, sched_name_filter,
                sched_taints_filter, sched_affinity_filter, sched_ports_filter, sched_fit_filter;
sched_score_func sched_taints_score, sched_affinity_score, sched_fit_score, sched_balanced_score,
                sched_images_score;
sched_begin_func sched_volumes_begin, sched_spread_begin, sched_interpod_begin;
sched_wide_filter_func sched_volumes_filter, sched_spread_filter, sched_interpod_filter;
/* The part of sched_interpod_filter() that keeps pods apart. */
sched_wide_filter_func sched_interpod_apart;
/* Whether the pod on the node would exceed the maxSkew of one of its constraints; soft: those of
 * ScheduleAnyway too, but not the profile's defaults. */
bool sched_spread_exceeds(const struct sched_pod *pod, const struct sched_node *node, bool soft);
sched_wide_score_func sched_spread_score, sched_interpod_score;
