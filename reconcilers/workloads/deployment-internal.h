/* Shared by the files of the Deployment controller: a Deployment, its ReplicaSets and the numbers
 * derived from them. */
#pragma once

#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define REVISION_ANNOTATION "deployment.kubernetes.io/revision"
#define HISTORY_ANNOTATION "deployment.kubernetes.io/revision-history"
#define DESIRED_ANNOTATION "deployment.kubernetes.io/desired-replicas"
#define MAX_ANNOTATION "deployment.kubernetes.io/max-replicas"
#define HASH_LABEL "pod-template-hash"

struct rollout {
        const json_t *deployment;
        struct objects sets; /* its ReplicaSets, oldest first, the new one included */
        struct objects orphans;
        const json_t *new_set;         /* the one with the Deployment's present template, or NULL */
        char hash[TEMPLATE_HASH_SIZE]; /* of the present template */
        const struct rollout_strategy *strategy;
        int64_t replicas;           /* spec.replicas */
        int64_t surge, unavailable; /* the strategy's maxSurge and maxUnavailable in pods */
        bool paused;
};

/* How old pods are replaced: spec.strategy.type. */
struct rollout_strategy {
        const char *type;
        /* Fills surge and unavailable; replicas is known. */
        void (*read)(struct rollout *d);
        /* Plans one round towards the new template. */
        void (*roll)(const struct rollout *d, const struct world *w, struct actions *a);
        bool keeps_several_sets; /* old and new sets have replicas at the same time */
};

/* --- deployment-strategy.c --- */

extern const struct rollout_strategy rolling_update_strategy, recreate_strategy;
/* Whether spec.replicas has changed since a set was scaled. */
bool rollout_is_scaling(const struct rollout *d);
/* Brings all sets to spec.replicas, each by its share, without moving on to the new template. */
void rollout_scale_all(const struct rollout *d, struct actions *a);

/* --- deployment.c: changes of one set --- */

/* Creates the set of the present template. */
void rollout_create_set(const struct rollout *d, struct actions *a, int64_t replicas);
/* Revision, annotations and minReadySeconds of the new set, and the Deployment's own revision. True
 * when the set has to be changed: scaling it waits for the next round then. */
bool rollout_update_set(const struct rollout *d, struct actions *a);
void rollout_scale(const struct rollout *d, struct actions *a, const json_t *rs, int64_t replicas);
/* The Deployment's replicas that the set was last scaled for; -1 when unknown. */
int64_t set_scaled_for(const json_t *rs);

/* --- deployment-status.c --- */

void rollout_read(struct rollout *d, const struct world *w, const json_t *deployment);
void rollout_done(struct rollout *d);
int64_t set_replicas(const json_t *rs);                  /* spec.replicas */
int64_t set_status(const json_t *rs, const char *field); /* status.<field> */
int64_t sets_spec_replicas(const struct rollout *d);     /* spec.replicas of all sets together */
int64_t sets_status(const struct rollout *d, const char *field);
bool rollout_is_complete(const struct rollout *d);
/* Sets the condition Progressing; when it will time out, *ret_wait_us is lowered to
 * that. */
void progress_condition(const struct rollout *d, const struct world *w, json_t *conditions,
                const json_t *status, const struct problem *failed, uint64_t *ret_wait_us);
/* The Deployment's new status; see struct controller. */
json_t *deployment_report(const struct world *w, const char *name, const struct problem *failed);
