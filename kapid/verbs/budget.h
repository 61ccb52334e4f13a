/* PodDisruptionBudgets as an eviction uses them: which one selects the pod. Its cost is
 * decided by budget_decide (internal.h). Where the kind is not served, no pod has a budget. */
#pragma once

#include "kapid/http/request.h"

struct budget {
        struct kind *kind; /* owned reference */
        char *name;        /* owned; in the request's namespace */
        json_t *object;    /* owned reference, immutable: as the cache has it */
};
void budget_done(struct budget *b);
/* 1: ret is the one that selects the pod; 0: none does. Several: 500 with p. -ENOMEM. */
int budget_find(const struct request *request, const json_t *pod, struct budget *ret,
                struct problem *p);
/* Whether the budget lets a pod go that is not healthy, without being charged
 * (spec.unhealthyPodEvictionPolicy). */
bool budget_spares_unhealthy(const struct budget *b);
