/* The parts of the scheduler's driver: scheduler.c has the loop, watch.c the events of the API,
 * bind.c bindings, metrics.c figures, claims.c pods that wait for volumes, report.c what users see
 * of a pod without a node, and preemption, write.c the requests of these. */
#pragma once

#include "lib/client/informer.h"
#include "lib/client/workqueue-metrics.h"
#include "lib/loop-turn.h"
#include "lib/map.h"
#include "lib/sched/sched.h"
#include "reconcilers/sched/queue.h"
#include "reconcilers/sched/scheduler.h"

/* Requests in flight: bindings, and conditions, victims and annotations. */
enum { BINDINGS_MAX = 128, WRITES_MAX = 64 };

/* Events that may unblock parked pods, collected until the loop has read what there is. */
enum { WAKES_MAX = 64 };
struct scheduler_wake {
        uint32_t events;
        char *node; /* where; NULL: anywhere */
};

enum scheduler_watch {
        WATCH_NODES,
        WATCH_PODS,
        WATCH_NAMESPACES,
        WATCH_BUDGETS,
        WATCH_CLAIMS,
        WATCH_VOLUMES,
        WATCH_STORAGE_CLASSES,
        WATCHES,
};

struct scheduler {
        struct scheduler_options options;
        struct sched_cluster *cluster;
        struct informer *watches[WATCHES];
        struct sched_queue *queue;
        struct loop_turn *work;
        sd_event_source *timer;
        struct map *bindings; /* key -> struct binding */
        struct map *writes;   /* further requests in flight */
        struct map *waiting;  /* key -> pod that waits for its claims on a node */
        struct scheduler_wake wakes[WAKES_MAX];
        size_t wake_count;
        struct metric *bound_total, *unschedulable_total, *refused_total, *preempted_total,
                        *latency, *choice, *pending[3];
        struct workqueue_metrics work_metrics;
        bool leading;
};

/* watch.c */
int scheduler_watch(struct scheduler *s);
const json_t *scheduler_pod(const struct scheduler *s, const char *key);
/* The profile of a pod that waits for a node, or NULL: it has one, is not ours, is gated, or ends.
 */
const struct sched_profile *scheduler_profile_of(const struct scheduler *s, const json_t *pod);
/* Events (SCHED_*) that may unblock parked pods, on a node or anywhere (NULL). */
void scheduler_wake(struct scheduler *s, uint32_t events, const char *node);
/* Tries the pods that the collected events may have unblocked. */
void scheduler_apply_wakes(struct scheduler *s);
void scheduler_wakes_done(struct scheduler *s);

/* scheduler.c: looks at the queue soon. */
void scheduler_arm(struct scheduler *s);

/* bind.c: the pod is assumed on the node and bound. Ends in the queue. */
int scheduler_bind(
                struct scheduler *s, struct sched_pod *pod, const json_t *object, const char *node);
void scheduler_binding_free(void *binding);
uint64_t scheduler_binding_started_us(const void *binding);

/* metrics.c: work on a pod begins when the queue hands it out; it ends without a node, or with the
 * answer to its binding. */
int scheduler_metrics_make(struct scheduler *s);
void scheduler_metrics_done(struct scheduler *s);
void scheduler_metrics_begin(struct scheduler *s, const char *key);
void scheduler_metrics_end(struct scheduler *s, uint64_t begin_us);

/* claims.c: the pod is assumed on the node and bound when its claims have volumes there. */
void scheduler_wait_for_claims(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const char *node, char *const *claims);
void scheduler_check_claims(struct scheduler *s);
void scheduler_waiting_free(void *waiting);

/* report.c: no node. Writes the condition, the event, the nominated node; deletes victims. */
void scheduler_report(struct scheduler *s, struct sched_pod *pod, const json_t *object,
                const struct sched_reasons *why, const struct sched_preemption *preemption);

/* write.c: a merge patch; a deletion with these options. A failure is logged at debug, and what was
 * to be written is decided again. path or body NULL: out of memory. */
void scheduler_write_patch(struct scheduler *s, const char *path, const json_t *body);
void scheduler_write_delete(struct scheduler *s, const char *path, const json_t *options);
void scheduler_write_free(void *write);
