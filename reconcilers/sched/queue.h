/* The queue of pods without a node, as kube-scheduler has it. A pod is in one of these states:
 *
 *      active --pop--> in work --park--> parked --an event that may help, or five minutes-->
 *        ^  highest priority   |                                             back-off or active
 *        |  first, then oldest '--retry--> back-off (1 s, doubled up to 10 s)
 *        '------------------------------------'
 *
 * Pure: time is an argument, in microseconds of any clock that does not go back. */
#pragma once

#include "lib/base.h"

struct sched_queue;

struct sched_queue_options {
        void (*free_payload)(void *payload, void *userdata);
        void *userdata;
};

struct sched_queue *sched_queue_new(const struct sched_queue_options *options);
struct sched_queue *sched_queue_free(struct sched_queue *q);
DEFINE_CLEANUP(struct sched_queue *, sched_queue_free);

/* A pod that is new or has changed: active at once, without its payload (freed); its attempts are
 * kept. One that is in work stays there, and is active when it is parked or tried again. */
void sched_queue_put(struct sched_queue *q, const char *key, int32_t priority, uint64_t now_us);
bool sched_queue_has(const struct sched_queue *q, const char *key);
void sched_queue_remove(struct sched_queue *q, const char *key);
/* The next pod, which is in work then, or NULL. The name is borrowed until the pod is removed. */
const char *sched_queue_pop(struct sched_queue *q, uint64_t now_us);
/* What the caller keeps with a pod that is in work; the queue owns it. Borrowed; NULL when unset.
 */
void *sched_queue_payload(const struct sched_queue *q, const char *key);
void sched_queue_set_payload(struct sched_queue *q, const char *key, void *payload);
/* No node was found: it waits for one of the events (a bit set). */
void sched_queue_park(struct sched_queue *q, const char *key, uint32_t events, uint64_t now_us);
/* An error: again after the back-off. */
void sched_queue_retry(struct sched_queue *q, const char *key, uint64_t now_us);
/* Events happened. may_help (NULL: yes) says of a parked pod that waits for one of them whether it
 * is worth a try; when it is not, it may add events for which the pod waits from now on. */
void sched_queue_wake(struct sched_queue *q, uint32_t events, uint64_t now_us,
                bool (*may_help)(const char *key, void *payload, uint32_t *waits_for,
                                void *userdata),
                void *userdata);
/* When something is due that is not yet active; UINT64_MAX: never. sched_queue_pop() sees to it. */
uint64_t sched_queue_next_us(const struct sched_queue *q);
/* Whether sched_queue_pop() has a pod now. */
bool sched_queue_is_ready(const struct sched_queue *q, uint64_t now_us);

/* How long the pod that was popped had been active. */
uint64_t sched_queue_waited_us(const struct sched_queue *q, const char *key);

struct sched_queue_counts {
        size_t active, backoff, parked;
        /* Since the start: times that a pod became active; that it was tried again after an error.
         */
        uint64_t adds, retries;
};
struct sched_queue_counts sched_queue_counts(const struct sched_queue *q);
