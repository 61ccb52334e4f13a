/* What the two files of the Deployment controller share: one picture of a Deployment, its ReplicaSets
 * and the numbers that follow. */
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
        struct objects sets;         /* its ReplicaSets, oldest first, the new one included */
        struct objects orphans;
        const json_t *new_set;       /* the one with the Deployment's present template, or NULL */
        char hash[16];               /* of the present template */
        int64_t replicas;            /* spec.replicas */
        int64_t surge, unavailable;  /* resolved; both 0 for Recreate */
        bool recreate, paused;
};

void rollout_read(struct rollout *d, const struct world *w, const json_t *deployment);
void rollout_done(struct rollout *d);
int64_t set_replicas(const json_t *rs);                          /* spec.replicas */
int64_t set_status(const json_t *rs, const char *field);         /* status.<field> */
int64_t sets_sum(const struct rollout *d, const char *field, bool spec);
bool rollout_is_complete(const struct rollout *d);
/* "25%" or a number, of total; percentages rounded as asked. */
int64_t int_or_percent(const json_t *v, int64_t total, bool round_up, int64_t fallback);
/* The condition Progressing as it should stand; when it will time out, *ret_wait_us is lowered to that. */
void progress_condition(const struct rollout *d, const struct world *w, json_t *conditions, const json_t *status,
                const struct problem *failed, uint64_t *ret_wait_us);
json_t *deployment_report(const struct world *w, const char *name, const struct problem *failed);
