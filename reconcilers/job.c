/* Job: runs pods until enough of them have succeeded. Counting is exact across restarts: a pod
 * carries the finalizer batch.kubernetes.io/job-tracking until it is counted, and is counted in
 * three steps, each of which may be repeated:
 *
 *      finished --1--> its uid is in status.uncountedTerminatedPods   (report, against
 * resourceVersion)
 *               --2--> its finalizer is removed                       (plan)
 *               --3--> its uid leaves the list and the count goes up  (report, one write)
 *
 * Step 3 happens only when the cache shows the pod without the finalizer, so a pod can't come back
 * into the list (KEP-2307). The end: SuccessCriteriaMet or FailureTarget, what still runs is
 * deleted, and when all is counted Complete or Failed. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

#define FINALIZER "batch.kubernetes.io/job-tracking"
#define BACKOFF_BASE_US (10 * UINT64_C(1000000))
#define BACKOFF_MAX_US (360 * UINT64_C(1000000))

enum { BURST_MAX = 500, UNCOUNTED_MAX = 500 };

/* All that both plan and report derive from a job and its pods. */
struct view {
        const json_t *job;
        struct objects pods;
        int64_t parallelism, completions; /* completions -1: a work queue */
        int64_t active, ready, terminating;
        int64_t succeeded, failed; /* counted and not yet counted pods together */
        int64_t restarts;          /* of containers in running pods, for restartPolicy OnFailure */
        uint64_t last_failure_us;
        bool suspended;
        const char *verdict; /* "SuccessCriteriaMet", "FailureTarget" or NULL */
        const char *reason, *message;
};

static void job_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_JOBS)
                wake_object(out, object);
        else if (kind == WORLD_PODS)
                wake_controller(out, object, "batch", "Job");
}

static bool pod_succeeded(const json_t *pod) {
        return streq(json_str_or(pod, "status.phase", ""), "Succeeded");
}

/* Whether the controller deletes its pods: these do not count as failures. */
static bool job_lets_go(const json_t *job) {
        return json_bool_or(job, "spec.suspend", false) || object_is_deleting(job) ||
               object_condition_true(job, "SuccessCriteriaMet") ||
               object_condition_true(job, "FailureTarget");
}

/* A terminating pod is not expected to succeed. */
static bool pod_failed(const json_t *job, const json_t *pod) {
        return streq(json_str_or(pod, "status.phase", ""), "Failed") ||
               (!pod_succeeded(pod) && object_is_deleting(pod) && !job_lets_go(job));
}

static bool pod_counts_as_succeeded(const json_t *job, const json_t *pod) {
        return pod_succeeded(pod);
}

static bool list_has(const json_t *list, const char *uid) {
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq_ptr(json_string_value(v), uid))
                        return true;
        return false;
}

static bool is_uncounted(const json_t *job, const char *uid) {
        return list_has(json_at(job, "status.uncountedTerminatedPods.succeeded"), uid) ||
               list_has(json_at(job, "status.uncountedTerminatedPods.failed"), uid);
}

static uint64_t finished_at(const json_t *pod) {
        uint64_t latest = time_at(pod, "metadata.deletionTimestamp");
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "status.containerStatuses"), i, c)
                latest = MAX(latest, time_at(c, "state.terminated.finishedAt"));
        return latest ? latest : object_created_us(pod);
}

static void count_pod(struct view *v, const struct world *w, const json_t *pod) {
        const json_t *c;
        bool uncounted = object_has_finalizer(pod, FINALIZER) &&
                         !is_uncounted(v->job, object_uid(pod));
        size_t i;

        if (pod_succeeded(pod))
                v->succeeded += uncounted;
        else if (pod_failed(v->job, pod)) {
                v->failed += uncounted;
                v->terminating += !pod_is_finished(pod);
                v->last_failure_us = MAX(v->last_failure_us, finished_at(pod));
        } else if (object_is_deleting(pod))
                v->terminating++;
        else {
                v->active++;
                v->ready += pod_is_ready(w, pod);
                json_array_foreach (json_at(pod, "status.containerStatuses"), i, c)
                        v->restarts += json_int_or(c, "restartCount", 0);
        }
}

static void decide(struct view *v, const struct world *w) {
        const json_t *job = v->job;
        int64_t limit = json_int_or(job, "spec.backoffLimit", 6);
        int64_t deadline = json_int_or(job, "spec.activeDeadlineSeconds", -1);
        uint64_t started = time_at(job, "status.startTime");
        bool on_failure = streq(
                        json_str_or(job, "spec.template.spec.restartPolicy", ""), "OnFailure");

        if (object_condition_true(job, "SuccessCriteriaMet")) {
                v->verdict = "SuccessCriteriaMet";
                v->reason = "CompletionsReached";
                v->message = "Reached expected number of succeeded pods";
        } else if (object_condition_true(job, "FailureTarget")) {
                v->verdict = "FailureTarget";
                v->reason = json_str_or(object_condition(job, "FailureTarget"), "reason", "");
                v->message = json_str_or(object_condition(job, "FailureTarget"), "message", "");
        } else if (v->failed > limit || (on_failure && limit > 0 && v->restarts > limit)) {
                v->verdict = "FailureTarget";
                v->reason = "BackoffLimitExceeded";
                v->message = "Job has reached the specified backoff limit";
        } else if (!v->suspended && deadline >= 0 && started > 0 &&
                        started + (uint64_t)deadline * 1000000 <= w->now_us) {
                v->verdict = "FailureTarget";
                v->reason = "DeadlineExceeded";
                v->message = "Job was active longer than specified deadline";
        } else if (v->completions >= 0 ? v->succeeded >= v->completions
                                       : v->succeeded > 0 && v->active == 0) {
                v->verdict = "SuccessCriteriaMet";
                v->reason = "CompletionsReached";
                v->message = "Reached expected number of succeeded pods";
        }
}

static void view_read(struct view *v, const struct world *w, const json_t *job) {
        const json_t *uncounted = json_at(job, "status.uncountedTerminatedPods");

        *v = (struct view){.job = job};
        v->parallelism = json_int_or(job, "spec.parallelism", 1);
        v->completions = json_int_or(job, "spec.completions", -1);
        v->suspended = json_bool_or(job, "spec.suspend", false);
        v->succeeded = json_int_or(job, "status.succeeded", 0) +
                       (int64_t)json_array_size(json_object_get(uncounted, "succeeded"));
        v->failed = json_int_or(job, "status.failed", 0) +
                    (int64_t)json_array_size(json_object_get(uncounted, "failed"));
        world_list(w, WORLD_PODS_BY_OWNER, object_uid(job), &v->pods);
        for (size_t i = 0; i < v->pods.count; i++)
                count_pod(v, w, v->pods.items[i]);
        decide(v, w);
}

static void view_done(struct view *v) {
        objects_done(&v->pods);
}

static bool job_is_finished(const json_t *job) {
        return object_condition_true(job, "Complete") || object_condition_true(job, "Failed");
}

static void drop_finalizer(struct actions *a, const json_t *pod) {
        json_t *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(pod, "metadata.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), FINALIZER))
                        json_array_append(kept, f);
        action_patch(a, "pods", pod, NULL, json_pack("{s:{s:o}}", "metadata", "finalizers", kept));
}

/* Pods of a deleted Job are not counted: their finalizer is removed. */
static void free_orphans(const struct world *w, const char *key, struct actions *a) {
        const char *slash = strchr(key, '/');
        _cleanup_free_ char *ns = slash ? strndup(key, (size_t)(slash - key)) : NULL;
        _cleanup_objects_ struct objects pods = {0};
        const json_t *job = world_get_key(w, WORLD_JOBS, key);

        if (!ns)
                return;
        world_list(w, WORLD_PODS_BY_NS, ns, &pods);
        for (size_t i = 0; i < pods.count; i++) {
                const json_t *ref = object_controller_ref(pods.items[i]);

                if (!ref || !streq(json_str_or(ref, "kind", ""), "Job") ||
                                !streq(json_str_or(ref, "name", ""), slash + 1) ||
                                !object_has_finalizer(pods.items[i], FINALIZER) ||
                                (job && streq(json_str_or(ref, "uid", ""), object_uid(job))))
                        continue;
                if (!job)
                        action_guard_absent(a, api_resource(KIND_JOBS), ns, slash + 1,
                                        json_str_or(ref, "uid", ""));
                drop_finalizer(a, pods.items[i]);
        }
}

static json_t *job_pod(const json_t *job) {
        json_t *pod = pod_from_template(json_at(job, "spec.template"), job, "batch/v1", "Job");
        json_t *labels = json_deep_copy(json_at(pod, "metadata.labels"));
        json_t *finalizers = json_deep_copy(json_at(pod, "metadata.finalizers"));

        assert(pod);
        if (!labels)
                labels = json_object();
        if (!finalizers)
                finalizers = json_array();
        json_object_set_new(labels, "batch.kubernetes.io/job-name", json_string(object_name(job)));
        json_object_set_new(
                        labels, "batch.kubernetes.io/controller-uid", json_string(object_uid(job)));
        json_object_set_new(labels, "job-name", json_string(object_name(job)));
        json_object_set_new(labels, "controller-uid", json_string(object_uid(job)));
        json_array_append_new(finalizers, json_string(FINALIZER));
        assert(json_set_at(pod, "metadata.labels", labels) >= 0);
        assert(json_set_at(pod, "metadata.finalizers", finalizers) >= 0);
        return pod;
}

static void delete_active(const struct view *v, struct actions *a, int64_t count) {
        /* The least advanced pods are deleted first. */
        for (int ready = 0; ready < 2; ready++)
                for (size_t i = 0; i < v->pods.count && count > 0; i++)
                        if (pod_is_active(v->pods.items[i]) &&
                                        object_condition_true(v->pods.items[i], "Ready") == ready) {
                                action_delete(a, "pods", v->pods.items[i], -1, NULL);
                                count--;
                        }
}

/* Creates or deletes pods until the wanted number runs; after a failure with exponential back-off.
 */
static void adjust(const struct view *v, const struct world *w, struct actions *a) {
        int64_t want = v->completions >= 0 ? MIN(v->parallelism, v->completions - v->succeeded)
                       : v->succeeded > 0  ? MIN(v->parallelism, v->active)
                                           : v->parallelism;

        want = MAX(want, (int64_t)0);
        if (v->active > want) {
                delete_active(v, a, v->active - want);
                return;
        }
        if (v->active < want && v->failed > 0 && v->last_failure_us > 0) {
                int64_t doublings = v->failed < 7 ? v->failed - 1 : 6;
                uint64_t pause = BACKOFF_BASE_US << doublings;
                uint64_t until = v->last_failure_us +
                                 (pause < BACKOFF_MAX_US ? pause : BACKOFF_MAX_US);

                if (until > w->now_us) {
                        actions_requeue(a, until - w->now_us);
                        return;
                }
        }
        for (int64_t i = v->active; i < want && i - v->active < BURST_MAX; i++)
                action_create(a, "pods", object_namespace(v->job), job_pod(v->job));
}

static void remove_when_due(const struct world *w, const json_t *job, struct actions *a) {
        const json_t *ttl = json_at(job, "spec.ttlSecondsAfterFinished");
        const json_t *end = object_condition_true(job, "Complete")
                                            ? object_condition(job, "Complete")
                                            : object_condition(job, "Failed");
        uint64_t due = time_at(end, "lastTransitionTime") +
                       (uint64_t)MAX((json_int_t)0, json_integer_value(ttl)) * 1000000;

        if (!json_is_integer(ttl))
                return;
        if (due <= w->now_us)
                action_delete(a, "jobs", job, -1, NULL);
        else
                actions_requeue(a, due - w->now_us);
}

static void job_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *job = world_get_key(w, WORLD_JOBS, name);
        _cleanup_(view_done) struct view v = {0};
        int64_t deadline;
        uint64_t started;
        bool over;

        free_orphans(w, name, a);
        if (!job)
                return;
        view_read(&v, w, job);
        over = job_is_finished(job) || object_is_deleting(job);
        for (size_t i = 0; i < v.pods.count; i++)
                if (object_has_finalizer(v.pods.items[i], FINALIZER) &&
                                (over || is_uncounted(job, object_uid(v.pods.items[i])) ||
                                                (job_lets_go(job) &&
                                                                object_is_deleting(
                                                                                v.pods.items[i]) &&
                                                                !pod_is_finished(v.pods.items[i]))))
                        drop_finalizer(a, v.pods.items[i]);
        if (object_is_deleting(job))
                return;
        if (v.verdict || v.suspended || over)
                delete_active(&v, a, v.active);
        else
                adjust(&v, w, a);
        if (over)
                remove_when_due(w, job, a);
        deadline = json_int_or(job, "spec.activeDeadlineSeconds", -1);
        started = time_at(job, "status.startTime");
        if (!over && !v.verdict && deadline >= 0 && started > 0 &&
                        started + (uint64_t)deadline * 1000000 > w->now_us)
                actions_requeue(a, started + (uint64_t)deadline * 1000000 - w->now_us);
}

/* --- report --- */

/* Step 3 for pods without finalizer, step 1 for newly finished ones; returns how many uids left the
 * list. */
static int64_t move_counts(const struct view *v, const json_t *old,
                bool (*belongs)(const json_t *job, const json_t *pod), json_t *list) {
        int64_t counted = 0;
        json_t *uid;
        size_t i;

        json_array_foreach (old, i, uid) {
                bool held = false;

                for (size_t k = 0; k < v->pods.count && !held; k++)
                        held = streq(object_uid(v->pods.items[k]),
                                               strempty(json_string_value(uid))) &&
                               object_has_finalizer(v->pods.items[k], FINALIZER);
                if (held)
                        json_array_append(list, uid);
                else
                        counted++;
        }
        for (size_t k = 0; k < v->pods.count; k++) {
                const json_t *pod = v->pods.items[k];

                if (belongs(v->job, pod) && object_has_finalizer(pod, FINALIZER) &&
                                !is_uncounted(v->job, object_uid(pod)) &&
                                json_array_size(list) < UNCOUNTED_MAX)
                        json_array_append_new(list, json_string(object_uid(pod)));
        }
        return counted;
}

static void put_conditions(const struct view *v, json_t *status, bool settled, const char *now) {
        json_t *conditions = json_deep_copy(json_at(v->job, "status.conditions"));
        bool success = v->verdict && streq(v->verdict, "SuccessCriteriaMet");

        if (!conditions)
                conditions = json_array();
        if (v->suspended && !v->verdict)
                condition_set(conditions, "Suspended", "True", "JobSuspended", "Job suspended", now,
                                false);
        else if (object_condition_true(v->job, "Suspended"))
                condition_set(conditions, "Suspended", "False", "JobResumed", "Job resumed", now,
                                false);
        if (v->verdict && !object_condition_true(v->job, v->verdict))
                condition_set(conditions, v->verdict, "True", v->reason, v->message, now, false);
        if (v->verdict && settled) {
                condition_set(conditions, success ? "Complete" : "Failed", "True", v->reason,
                                v->message, now, false);
                if (success)
                        json_object_set_new(status, "completionTime", json_string(now));
        }
        if (json_array_size(conditions) > 0)
                json_object_set(status, "conditions", conditions);
        json_decref(conditions);
}

static json_t *job_report(const struct world *w, const char *name, const struct problem *failed) {
        const json_t *job = world_get_key(w, WORLD_JOBS, name);
        _cleanup_json_ json_t *good = json_array(), *bad = json_array();
        _cleanup_(view_done) struct view v = {0};
        int64_t succeeded, failures;
        char now[TIMEFMT_SIZE];
        const char *started;
        json_t *status;
        bool settled;

        if (!job || job_is_finished(job) || object_is_deleting(job))
                return NULL;
        view_read(&v, w, job);
        time_format(w->now_us, now);
        succeeded = json_int_or(job, "status.succeeded", 0) +
                    move_counts(&v, json_at(job, "status.uncountedTerminatedPods.succeeded"),
                                    pod_counts_as_succeeded, good);
        failures = json_int_or(job, "status.failed", 0) +
                   move_counts(&v, json_at(job, "status.uncountedTerminatedPods.failed"),
                                   pod_failed, bad);
        started = json_str(job, "status.startTime");
        status = json_pack("{s:I, s:I, s:I, s:I, s:I}", "active", (json_int_t)v.active, "ready",
                        (json_int_t)v.ready, "terminating", (json_int_t)v.terminating, "succeeded",
                        (json_int_t)succeeded, "failed", (json_int_t)failures);
        assert(status);
        if (!v.suspended || v.verdict)
                json_object_set_new(status, "startTime", json_string(started ? started : now));
        json_object_set_new(status, "uncountedTerminatedPods", json_object());
        if (json_array_size(good) > 0)
                json_set_at(status, "uncountedTerminatedPods.succeeded", json_incref(good));
        if (json_array_size(bad) > 0)
                json_set_at(status, "uncountedTerminatedPods.failed", json_incref(bad));
        settled = v.active == 0 && v.terminating == 0 && json_array_size(good) == 0 &&
                  json_array_size(bad) == 0;
        put_conditions(&v, status, settled, now);
        return status;
}

const struct controller job_controller = {
                .name = "job",
                .primary = WORLD_JOBS,
                .kinds = WORLD_BIT(WORLD_JOBS) | WORLD_BIT(WORLD_PODS) | WORLD_BIT(WORLD_NODES),
                .wake = job_wake,
                .plan = job_plan,
                .report = job_report,
};
