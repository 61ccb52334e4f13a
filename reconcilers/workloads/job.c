/* Job: runs pods until enough of them have succeeded. Counting is exact across restarts: a pod
 * carries the finalizer batch.kubernetes.io/job-tracking until it is counted, and is counted in
 * three steps, each of which may be repeated:
 *
 *      ended --1--> its uid is in status.uncountedTerminatedPods    (report, against
 * resourceVersion)
 *            --2--> its finalizer is removed                        (plan)
 *            --3--> its uid leaves the list and the count goes up   (report, one write)
 *
 * Step 3 happens only when the cache shows the pod without the finalizer, so a pod can't come back
 * into the list (KEP-2307). A success with an index needs no list: step 1 writes the index into
 * status.completedIndexes, which is its count. With backoffLimitPerIndex the last failure of an
 * index is counted after its next pod was made, which continues its number of failures (KEP-3850).
 *
 * The end: SuccessCriteriaMet or FailureTarget, what still runs is deleted, and when all has ended
 * and is counted Complete or Failed. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/workloads/job-internal.h"
#include "reconcilers/pods.h"

enum { UNCOUNTED_MAX = 500 };

static void job_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_JOBS)
                wake_object(out, object);
        else if (kind == WORLD_NODES)
                wake_owners_of_node_pods(w, out, old, object, gone, "batch", "Job");
        else if (kind == WORLD_PODS) {
                if (old)
                        wake_controller(out, old, "batch", "Job");
                wake_controller(out, object, "batch", "Job");
                wake_selecting(w, out, WORLD_JOBS_BY_NS, object);
        }
}

/* --- plan --- */

static json_t *other_finalizers(const json_t *pod) {
        json_t *kept = json_array(), *f;
        size_t i;

        json_array_foreach (json_at(pod, "metadata.finalizers"), i, f)
                if (!streq_ptr(json_string_value(f), JOB_FINALIZER))
                        json_array_append(kept, f);
        return kept;
}

static void drop_finalizer(struct actions *a, const json_t *pod) {
        action_patch(a, "pods", pod, NULL,
                        json_pack("{s:{s:o}}", "metadata", "finalizers", other_finalizers(pod)));
}

/* Their new owner, if there is one, counts them or not. */
static void release(const struct job_view *v, struct actions *a) {
        for (size_t i = 0; i < v->released.count; i++) {
                const json_t *pod = v->released.items[i];

                action_patch(a, "pods", pod, NULL,
                                json_pack("{s:{s:o, s:o}}", "metadata", "ownerReferences",
                                                refs_without(pod, object_uid(v->job)), "finalizers",
                                                other_finalizers(pod)));
        }
}

/* Pods of a deleted Job are not counted: their finalizer is removed. */
static void free_orphans(const struct world *w, const char *key, struct actions *a) {
        const json_t *job = world_get_key(w, WORLD_JOBS, key);
        _cleanup_objects_ struct objects pods = {0};

        world_list(w, WORLD_PODS_BY_JOB, key, &pods);
        for (size_t i = 0; i < pods.count; i++) {
                const json_t *ref = object_controller_ref(pods.items[i]);

                if (!object_has_finalizer(pods.items[i], JOB_FINALIZER) ||
                                (job && streq(json_str_or(ref, "uid", ""), object_uid(job))))
                        continue;
                if (!job)
                        action_guard_absent(a, api_resource(KIND_JOBS),
                                        object_namespace(pods.items[i]),
                                        json_str_or(ref, "name", ""), json_str_or(ref, "uid", ""));
                drop_finalizer(a, pods.items[i]);
        }
}

/* Orphans become the job's with its finalizer, so that they are counted. False: there are none. */
static bool adopt(const struct job_view *v, struct actions *a) {
        size_t before = a->count;

        for (size_t i = 0; i < v->orphans.count; i++) {
                const json_t *pod = v->orphans.items[i];
                json_t *refs, *finalizers;

                if (!pod_is_active(pod))
                        continue;
                refs = json_deep_copy(json_at(pod, "metadata.ownerReferences"));
                finalizers = json_deep_copy(json_at(pod, "metadata.finalizers"));
                if (!refs)
                        refs = json_array();
                if (!finalizers)
                        finalizers = json_array();
                json_array_append_new(refs, controller_ref(v->job, "batch/v1", "Job"));
                if (!object_has_finalizer(pod, JOB_FINALIZER))
                        json_array_append_new(finalizers, json_string(JOB_FINALIZER));
                action_patch(a, "pods", pod, NULL,
                                json_pack("{s:{s:o, s:o}}", "metadata", "ownerReferences", refs,
                                                "finalizers", finalizers));
        }
        return a->count > before;
}

/* Step 2: whether the status has counted the pod, or need not count it. */
static bool is_accounted(
                const struct job_view *v, const struct job_pod *x, const struct ranges *written) {
        if (x->noted)
                return true;
        if (x->state == JOB_POD_ACTIVE || x->delayed)
                return false;
        if (x->state == JOB_POD_TERMINATING)
                return job_lets_go(v->job);
        if (v->indexed && x->index < 0)
                return true;
        if (x->state == JOB_POD_SUCCEEDED)
                return v->indexed && ranges_have(written, (uint32_t)x->index);
        return x->action == JOB_IGNORE;
}

static void drop_finalizers(const struct job_view *v, struct actions *a) {
        bool over = job_is_finished(v->job) || object_is_deleting(v->job);
        _cleanup_ranges_ struct ranges written = {0};

        if (v->indexed)
                assert(ranges_parse(json_str(v->job, "status.completedIndexes"), UINT32_MAX,
                                       &written, /* ret_error= */ NULL) != -ENOMEM);
        for (size_t i = 0; i < v->pods.count; i++)
                if (v->items[i].tracked && (over || is_accounted(v, &v->items[i], &written)))
                        drop_finalizer(a, v->items[i].pod);
}

/* The condition, if it is true after the write and was not before. */
static const json_t *became_true(const json_t *before, const json_t *after, const char *type) {
        return object_condition_true(before, type) || !object_condition_true(after, type)
                               ? NULL
                               : object_condition(after, type);
}

static void job_reported(const json_t *before, const json_t *after, struct actions *a) {
        const json_t *failed = became_true(before, after, "Failed");

        if (became_true(before, after, "Complete"))
                action_event(a, after, "Normal", "Completed", "Job completed");
        if (failed)
                action_event(a, after, "Warning", json_str_or(failed, "reason", ""), "%s",
                                json_str_or(failed, "message", ""));
        if (became_true(before, after, "Suspended"))
                action_event(a, after, "Normal", "Suspended", "Job suspended");
        if (object_condition_true(before, "Suspended") &&
                        !object_condition_true(after, "Suspended"))
                action_event(a, after, "Normal", "Resumed", "Job resumed");
}

static void wait_for_deadline(const struct job_view *v, const struct world *w, struct actions *a) {
        int64_t deadline = json_int_or(v->job, "spec.activeDeadlineSeconds", -1);
        uint64_t due = time_at(v->job, "status.startTime");

        if (deadline < 0 || due == 0 || v->suspended)
                return;
        due += seconds_us(deadline);
        if (due > w->now_us)
                actions_requeue(a, due - w->now_us);
}

static void job_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *job = world_get_key(w, WORLD_JOBS, name);
        _cleanup_(job_view_done) struct job_view v = {0};

        free_orphans(w, name, a);
        if (!job || job_is_foreign(job))
                return;
        job_view_read(&v, w, job);
        release(&v, a);
        drop_finalizers(&v, a);
        if (object_is_deleting(job))
                return;
        if (job_is_finished(job)) {
                job_delete_active(&v, a, v.active);
                return;
        }
        if (v.verdict || v.suspended)
                job_delete_active(&v, a, v.active);
        else if (!adopt(&v, a)) /* adopted pods are counted before others are made */
                job_adjust(&v, w, a);
        if (!v.verdict)
                wait_for_deadline(&v, w, a);
}

/* --- report --- */

/* Whether a pod with the finalizer has this uid. */
static bool is_held(const struct job_view *v, const char *uid) {
        for (size_t i = 0; i < v->pods.count; i++)
                if (v->items[i].noted && v->items[i].tracked &&
                                streq(object_uid(v->items[i].pod), uid))
                        return true;
        return false;
}

/* Step 3 for the uids of a list: those of pods that are still held stay; returns how many left. */
static int64_t keep_held(const struct job_view *v, const char *path, json_t *list) {
        int64_t counted = 0;
        json_t *uid;
        size_t i;

        json_array_foreach (json_at(v->job, path), i, uid)
                if (is_held(v, strempty(json_string_value(uid))))
                        json_array_append(list, uid);
                else
                        counted++;
        return counted;
}

/* Step 1 for pods that have ended. */
static void note_ended(const struct job_view *v, json_t *succeeded, json_t *failed) {
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];
                json_t *list = job_pod_counts_failed(v, x)                    ? failed
                               : x->state == JOB_POD_SUCCEEDED && !v->indexed ? succeeded
                                                                              : NULL;

                if (list && x->tracked && !x->noted && json_array_size(list) < UNCOUNTED_MAX)
                        json_array_append_new(list, json_string(object_uid(x->pod)));
        }
}

static void put_conditions(const struct job_view *v, json_t *status, const char *now) {
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
        if (v->verdict && job_is_settled(v)) {
                condition_set(conditions, success ? "Complete" : "Failed", "True", v->reason,
                                v->message, now, false);
                if (success)
                        json_object_set_new(status, "completionTime", json_string(now));
        }
        if (json_array_size(conditions) > 0)
                json_object_set(status, "conditions", conditions);
        json_decref(conditions);
}

static void put_indexes(const struct job_view *v, json_t *status) {
        _cleanup_free_ char *done = ranges_text(&v->done),
                            *failed = ranges_text(&v->failed_indexes);

        assert(done && failed);
        if (*done)
                json_set_str(status, "completedIndexes", done);
        if (v->per_index)
                json_set_str(status, "failedIndexes", failed);
}

static json_t *job_report(const struct world *w, const char *name, const struct problem *failure) {
        const json_t *job = world_get_key(w, WORLD_JOBS, name);
        _cleanup_json_ json_t *good = json_array(), *bad = json_array();
        _cleanup_(job_view_done) struct job_view v = {0};
        int64_t succeeded, failed;
        char now[TIMEFMT_SIZE];
        const char *started;
        json_t *status;

        if (!job || job_is_foreign(job) || job_is_finished(job) || object_is_deleting(job))
                return NULL;
        job_view_read(&v, w, job);
        time_format(w->now_us, now);
        succeeded = json_int_or(job, "status.succeeded", 0) +
                    keep_held(&v, "status.uncountedTerminatedPods.succeeded", good);
        failed = json_int_or(job, "status.failed", 0) +
                 keep_held(&v, "status.uncountedTerminatedPods.failed", bad);
        note_ended(&v, good, bad);
        started = json_str(job, "status.startTime");
        status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:{}}", "active", (json_int_t)v.active,
                        "ready", (json_int_t)v.ready, "terminating", (json_int_t)v.terminating,
                        "succeeded", (json_int_t)(v.indexed ? v.succeeded : succeeded), "failed",
                        (json_int_t)failed, "uncountedTerminatedPods");
        assert(status);
        if (!v.suspended || v.verdict)
                json_object_set_new(status, "startTime", json_string(started ? started : now));
        if (json_array_size(good) > 0)
                json_set_at(status, "uncountedTerminatedPods.succeeded", json_incref(good));
        if (json_array_size(bad) > 0)
                json_set_at(status, "uncountedTerminatedPods.failed", json_incref(bad));
        if (v.indexed)
                put_indexes(&v, status);
        put_conditions(&v, status, now);
        return status;
}

const struct controller job_controller = {
                .name = "job",
                .primary = WORLD_JOBS,
                .kinds = WORLD_BIT(WORLD_JOBS) | WORLD_BIT(WORLD_PODS) | WORLD_BIT(WORLD_NODES),
                .wake = job_wake,
                .plan = job_plan,
                .report = job_report,
                .reported = job_reported,
};
