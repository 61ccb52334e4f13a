/* What a run of a Descheduling decides: which pods are to be evicted, one after another. Pure: it
 * gets the objects and the time, and looks at them with the scheduler's own rules (lib/sched/).
 *
 *      desched_new() --> desched_put()... --> desched_step(): MORE ... EVICT --> desched_answer()
 *                                                  ^                                  |
 *                                                  '----------------------------------'  END
 *
 * A step is a small piece of work (one pod), so that a driver can do other things in between. The
 * cluster is a snapshot: after an eviction the pod counts on the node where the scheduler would
 * place it, and after a refusal on its own again. Out of memory ends the program. */
#pragma once

#include "reconcilers/world.h"

struct desched;

/* spec: of the Descheduling, with its defaults; a reference is kept. priority_threshold: only pods
 * of a lower priority are evicted. now_us: wall clock. -EINVAL with p: the spec cannot be read. */
int desched_new(struct desched **ret, const json_t *spec, int32_t priority_threshold,
                uint64_t now_us, struct problem *p);
struct desched *desched_free(struct desched *d);
DEFINE_CLEANUP(struct desched *, desched_free);

/* Frees a part of it, to do that in small pieces; false: no large part is left. Only desched_free()
 * may follow. */
bool desched_shrink(struct desched *d);

/* Adds an object: WORLD_NODES first, then WORLD_NAMESPACES, PODS, CLAIMS, VOLUMES or CLASSES in any
 * order. Keeps a reference. */
void desched_put(struct desched *d, enum world_kind kind, const json_t *object);

enum desched_step {
        DESCHED_MORE,  /* call again */
        DESCHED_EVICT, /* desched_eviction() says which pod; call desched_answer() */
        DESCHED_END,
};
enum desched_step desched_step(struct desched *d);

/* The pod to evict; borrowed until desched_answer(). */
struct desched_eviction {
        const json_t *pod;
        const char *node, *to; /* to: where the scheduler would place it; NULL: nowhere */
        const char *strategy, *reason;
};
void desched_eviction(const struct desched *d, struct desched_eviction *ret);

enum desched_outcome {
        DESCHED_EVICTED,
        DESCHED_WOULD_EVICT, /* a dry run */
        DESCHED_REFUSED,     /* by a PodDisruptionBudget */
        DESCHED_GONE,        /* the pod was no longer there */
        DESCHED_FAILED,
};
/* message: what the server said, or NULL. */
void desched_answer(struct desched *d, enum desched_outcome outcome, const char *message);

/* The numbers so far, as members of status.running, and the whole report, of status.lastRun. New
 * objects. */
json_t *desched_progress(const struct desched *d);
json_t *desched_report(const struct desched *d);
