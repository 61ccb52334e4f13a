/* A job and its pods as all parts of the job controller see them. Pure; everything in a view is
 * borrowed from the world but what job_view_done() frees. */
#pragma once

#include "lib/ranges.h"
#include "reconcilers/world.h"

#define JOB_FINALIZER "batch.kubernetes.io/job-tracking"
#define JOB_INDEX "batch.kubernetes.io/job-completion-index"
#define JOB_INDEX_FAILURES "batch.kubernetes.io/job-index-failure-count"
#define JOB_INDEX_IGNORED "batch.kubernetes.io/job-index-ignored-failure-count"

struct actions;

enum job_pod_state {
        JOB_POD_ACTIVE,
        JOB_POD_TERMINATING, /* neither succeeded nor failed yet */
        JOB_POD_SUCCEEDED,
        JOB_POD_FAILED
};

/* What podFailurePolicy says of a failed pod. */
enum job_action { JOB_COUNT, JOB_IGNORE, JOB_FAIL_INDEX, JOB_FAIL_JOB };

struct job_pod {
        const json_t *pod;
        int64_t index; /* -1: none, or not below completions */
        enum job_pod_state state;
        enum job_action action;
        bool tracked; /* has the finalizer: is not counted to its end */
        bool noted;   /* its uid is in status.uncountedTerminatedPods */
        /* The last failure of an index of which no pod runs: its annotations are needed to make the
         * next one, so it is counted only after that. */
        bool delayed;
};

struct job_view {
        const json_t *job;
        uint64_t now_us;
        struct objects pods, orphans;
        struct objects released;          /* owned, but the job's selector no longer matches them */
        struct job_pod *items;            /* of pods.items, sorted by index */
        int64_t parallelism, completions; /* completions -1: a work queue */
        bool indexed, per_index;          /* per_index: backoffLimitPerIndex */
        bool suspended;
        bool replace_failed; /* podReplacementPolicy Failed: a terminating pod keeps its place */
        int64_t active, ready, terminating;
        int64_t succeeded, failed; /* counted and not yet counted pods together */
        int64_t restarts;          /* of containers in active pods */
        struct ranges done, failed_indexes;
        uint64_t last_failure_us, last_success_us;
        int64_t failures_in_row; /* since the last success */
        const char *verdict;     /* "SuccessCriteriaMet", "FailureTarget" or NULL */
        const char *reason;
        char *message;
};

void job_view_read(struct job_view *v, const struct world *w, const json_t *job);
void job_view_done(struct job_view *v);
/* "Complete" or "Failed" holds. */
bool job_is_finished(const json_t *job);
/* Whether the controller itself ends the pods, for a reason that is not a failure of theirs. */
bool job_lets_go(const json_t *job);
/* Another controller handles the job (spec.managedBy). */
bool job_is_foreign(const json_t *job);
/* Whether a pod is, or will be, one of status.failed. */
bool job_pod_counts_failed(const struct job_view *v, const struct job_pod *x);
/* Nothing runs and everything is counted: the end may be written. */
bool job_is_settled(const struct job_view *v);
/* An annotation of a pod that holds a number; 0 when it has none. */
int64_t job_pod_number(const json_t *pod, const char *annotation);
/* When a pod ended, as well as that can be known; never later than now. */
uint64_t job_pod_ended_us(const struct job_view *v, const json_t *pod);

/* podFailurePolicy (job-policy.c): what the first rule that matches says of a failed pod, JOB_COUNT
 * without one. *ret_message (may be NULL; the caller's): for JOB_FAIL_JOB why. */
enum job_action job_failure_action(const json_t *job, const json_t *pod, char **ret_message);
/* successPolicy: the rule that the succeeded indexes fulfil; -1: none. */
int64_t job_success_rule(const json_t *job, const struct ranges *done);

/* Creates and deletes pods until as many run as should (job-pods.c). */
void job_adjust(const struct job_view *v, const struct world *w, struct actions *a);
/* Deletes `count` of the active pods, the least advanced first. */
void job_delete_active(const struct job_view *v, struct actions *a, int64_t count);
