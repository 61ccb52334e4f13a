/* Reading a job and its pods: which state each pod is in, how many succeeded and failed, and the
 * verdict that follows. */
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "reconcilers/workloads/job-internal.h"
#include "reconcilers/pods.h"

bool job_is_finished(const json_t *job) {
        return object_condition_true(job, "Complete") || object_condition_true(job, "Failed");
}

bool job_lets_go(const json_t *job) {
        return json_bool_or(job, "spec.suspend", false) || object_is_deleting(job);
}

bool job_is_foreign(const json_t *job) {
        const char *manager = json_str(job, "spec.managedBy");

        return manager && !streq(manager, "kubernetes.io/job-controller");
}

void job_view_done(struct job_view *v) {
        objects_done(&v->pods);
        objects_done(&v->orphans);
        objects_done(&v->released);
        free(v->items);
        ranges_done(&v->done);
        ranges_done(&v->failed_indexes);
        free(v->message);
}

int64_t job_pod_number(const json_t *pod, const char *annotation) {
        const char *text = object_annotation(pod, annotation);
        int64_t n;

        return text && parse_i64(text, &n) == 0 ? n : 0;
}

/* The end of the last container; 0 when one runs. */
static uint64_t containers_ended_us(const json_t *pod) {
        uint64_t latest = 0;
        const json_t *c;
        size_t i;

        json_array_foreach (json_at(pod, "status.containerStatuses"), i, c) {
                uint64_t at = time_at(c, "state.terminated.finishedAt");

                if (at == 0)
                        return 0;
                latest = MAX(latest, at);
        }
        return latest;
}

uint64_t job_pod_ended_us(const struct job_view *v, const json_t *pod) {
        uint64_t at = containers_ended_us(pod);
        const json_t *ready = object_condition(pod, "Ready");

        if (at == 0 && streq(json_str_or(ready, "status", ""), "False") && pod_is_finished(pod))
                at = time_at(ready, "lastTransitionTime");
        if (at == 0 && object_is_deleting(pod)) {
                uint64_t grace = seconds_us(
                                json_int_or(pod, "metadata.deletionGracePeriodSeconds", 0));

                at = time_at(pod, "metadata.deletionTimestamp");
                at -= MIN(at, grace);
        }
        /* A node's clock may be ahead: nothing waits until that time. */
        return at > 0 && at <= v->now_us ? at : MIN(object_created_us(pod), v->now_us);
}

static bool list_has(const json_t *list, const char *uid) {
        const json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (streq_ptr(json_string_value(v), uid))
                        return true;
        return false;
}

static enum job_pod_state state_of(const struct job_view *v, const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        if (streq(phase, "Succeeded"))
                return JOB_POD_SUCCEEDED;
        if (streq(phase, "Failed"))
                return JOB_POD_FAILED;
        if (!object_is_deleting(pod))
                return JOB_POD_ACTIVE;
        /* A terminating pod is not expected to succeed, unless its end is waited for. */
        return v->replace_failed || job_lets_go(v->job) ? JOB_POD_TERMINATING : JOB_POD_FAILED;
}

static int64_t index_of(const struct job_view *v, const json_t *pod) {
        const char *text = object_annotation(pod, JOB_INDEX);
        int64_t n;

        return v->indexed && text && parse_i64(text, &n) == 0 && n >= 0 && n < v->completions ? n
                                                                                              : -1;
}

static int by_index(const void *a, const void *b) {
        const struct job_pod *x = a, *y = b;

        if (x->index != y->index)
                return x->index < y->index ? -1 : 1;
        return strcmp(object_name(x->pod), object_name(y->pod));
}

static void read_pods(struct job_view *v) {
        const json_t *noted = json_at(v->job, "status.uncountedTerminatedPods");

        v->items = calloc(MAX(v->pods.count, (size_t)1), sizeof(*v->items));
        assert(v->items);
        for (size_t i = 0; i < v->pods.count; i++) {
                struct job_pod *x = &v->items[i];

                x->pod = v->pods.items[i];
                x->index = index_of(v, x->pod);
                x->state = state_of(v, x->pod);
                x->tracked = object_has_finalizer(x->pod, JOB_FINALIZER);
                x->noted = list_has(json_object_get(noted, "succeeded"), object_uid(x->pod)) ||
                           list_has(json_object_get(noted, "failed"), object_uid(x->pod));
                if (x->state == JOB_POD_FAILED)
                        x->action = job_failure_action(v->job, x->pod, /* ret_message= */ NULL);
        }
        qsort(v->items, v->pods.count, sizeof(*v->items), by_index);
}

static int64_t restarts_of(const json_t *pod) {
        static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
        int64_t n = 0;
        const json_t *c;
        size_t i;

        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_get(pod, "status", lists[l], NULL), i, c)
                        n += json_int_or(c, "restartCount", 0);
        return n;
}

static void count_running(struct job_view *v, const struct world *w) {
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];

                if (x->state == JOB_POD_ACTIVE) {
                        v->active++;
                        v->ready += pod_is_ready(w, x->pod);
                        v->restarts += restarts_of(x->pod);
                } else
                        v->terminating += object_is_deleting(x->pod) && !pod_is_finished(x->pod);
                if (x->state == JOB_POD_SUCCEEDED)
                        v->last_success_us = MAX(v->last_success_us, job_pod_ended_us(v, x->pod));
        }
        for (size_t i = 0; i < v->pods.count; i++) {
                uint64_t ended = job_pod_ended_us(v, v->items[i].pod);

                if (v->items[i].state != JOB_POD_FAILED || ended <= v->last_success_us)
                        continue;
                v->failures_in_row++;
                v->last_failure_us = MAX(v->last_failure_us, ended);
        }
}

bool job_pod_counts_failed(const struct job_view *v, const struct job_pod *x) {
        return x->state == JOB_POD_FAILED && x->action != JOB_IGNORE && !x->delayed &&
               (!v->indexed || x->index >= 0);
}

/* --- indexes --- */

static void read_set(struct job_view *v, const char *path, struct ranges *ret) {
        int r = ranges_parse(json_str(v->job, path), UINT32_MAX, ret, /* ret_error= */ NULL);

        assert(r != -ENOMEM);
        ranges_cut(ret, (uint32_t)MAX(v->completions, INT64_C(0)));
}

static bool index_fails(const struct job_view *v, const struct job_pod *x) {
        int64_t limit = json_int_or(v->job, "spec.backoffLimitPerIndex", 0);
        int64_t failures = job_pod_number(x->pod, JOB_INDEX_FAILURES) + (x->action != JOB_IGNORE);

        return x->action == JOB_FAIL_INDEX || failures > limit;
}

static int64_t attempts_of(const struct job_pod *x) {
        return job_pod_number(x->pod, JOB_INDEX_FAILURES) +
               job_pod_number(x->pod, JOB_INDEX_IGNORED);
}

/* The pods from `from` to before `to` are those of one index that is neither done nor failed. */
static void delay_last_failure(struct job_view *v, size_t from, size_t to) {
        struct job_pod *last = NULL;

        for (size_t i = from; i < to; i++) {
                struct job_pod *x = &v->items[i];

                if (x->state == JOB_POD_ACTIVE)
                        return;
                if (x->state != JOB_POD_FAILED || !x->tracked || x->noted)
                        continue;
                if (!last || attempts_of(x) > attempts_of(last) ||
                                (attempts_of(x) == attempts_of(last) &&
                                                job_pod_ended_us(v, x->pod) >
                                                                job_pod_ended_us(v, last->pod)))
                        last = x;
        }
        if (last)
                last->delayed = true;
}

static void read_indexes(struct job_view *v) {
        read_set(v, "status.completedIndexes", &v->done);
        for (size_t i = 0; i < v->pods.count; i++)
                if (v->items[i].state == JOB_POD_SUCCEEDED && v->items[i].tracked &&
                                v->items[i].index >= 0)
                        assert(ranges_add(&v->done, (uint32_t)v->items[i].index) >= 0);
        if (!v->per_index)
                return;
        read_set(v, "status.failedIndexes", &v->failed_indexes);
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];

                if (x->state == JOB_POD_FAILED && x->tracked && x->index >= 0 &&
                                !ranges_have(&v->done, (uint32_t)x->index) && index_fails(v, x))
                        assert(ranges_add(&v->failed_indexes, (uint32_t)x->index) >= 0);
        }
        for (size_t from = 0, to; from < v->pods.count; from = to) {
                int64_t index = v->items[from].index;

                for (to = from + 1; to < v->pods.count && v->items[to].index == index; to++)
                        ;
                if (index >= 0 && !ranges_have(&v->done, (uint32_t)index) &&
                                !ranges_have(&v->failed_indexes, (uint32_t)index))
                        delay_last_failure(v, from, to);
        }
}

static void count_ended(struct job_view *v) {
        const json_t *noted = json_at(v->job, "status.uncountedTerminatedPods");

        v->succeeded = json_int_or(v->job, "status.succeeded", 0) +
                       (int64_t)json_array_size(json_object_get(noted, "succeeded"));
        v->failed = json_int_or(v->job, "status.failed", 0) +
                    (int64_t)json_array_size(json_object_get(noted, "failed"));
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];

                if (!x->tracked || x->noted)
                        continue;
                v->succeeded += x->state == JOB_POD_SUCCEEDED;
                v->failed += job_pod_counts_failed(v, x);
        }
        if (v->indexed)
                v->succeeded = (int64_t)ranges_count(&v->done);
}

/* --- the verdict --- */

static void set_verdict(
                struct job_view *v, const char *verdict, const char *reason, char *message) {
        assert(message);
        v->verdict = verdict;
        v->reason = reason;
        free(v->message);
        v->message = message;
}

static bool read_verdict(struct job_view *v, const char *type) {
        const json_t *c = object_condition(v->job, type);

        if (!object_condition_true(v->job, type))
                return false;
        set_verdict(v, type, json_str_or(c, "reason", ""), strdup(json_str_or(c, "message", "")));
        return true;
}

static void fail(struct job_view *v, const char *reason, const char *message) {
        set_verdict(v, "FailureTarget", reason, strdup(message));
}

static bool fails_by_policy(struct job_view *v) {
        for (size_t i = 0; i < v->pods.count; i++) {
                _cleanup_free_ char *message = NULL;

                if (v->items[i].action != JOB_FAIL_JOB)
                        continue;
                (void)job_failure_action(v->job, v->items[i].pod, &message);
                set_verdict(v, "FailureTarget", "PodFailurePolicy", TAKE_PTR(message));
                return true;
        }
        return false;
}

static bool fails_by_limit(const struct job_view *v) {
        int64_t limit = json_int_or(v->job, "spec.backoffLimit", 6);

        if (v->failed > limit)
                return true;
        if (!streq(json_str_or(v->job, "spec.template.spec.restartPolicy", ""), "OnFailure"))
                return false;
        return limit == 0 ? v->restarts > 0 : v->restarts >= limit;
}

static bool fails_by_deadline(const struct job_view *v, const struct world *w) {
        int64_t deadline = json_int_or(v->job, "spec.activeDeadlineSeconds", -1);
        uint64_t started = time_at(v->job, "status.startTime");

        return !v->suspended && deadline >= 0 && started > 0 &&
               started + seconds_us(deadline) <= w->now_us;
}

static bool fails_by_many_indexes(const struct job_view *v) {
        const json_t *limit = json_at(v->job, "spec.maxFailedIndexes");

        return v->per_index && json_is_integer(limit) &&
               (json_int_t)ranges_count(&v->failed_indexes) > json_integer_value(limit);
}

/* Every index has ended, not all of them well. */
static bool fails_by_indexes(const struct job_view *v) {
        int64_t failed = (int64_t)ranges_count(&v->failed_indexes);

        return failed > 0 && failed + v->succeeded >= v->completions;
}

static bool is_complete(const struct job_view *v) {
        return v->completions >= 0 ? v->succeeded >= v->completions
                                   : v->succeeded > 0 && v->active == 0;
}

static void decide(struct job_view *v, const struct world *w) {
        int64_t rule = v->indexed ? job_success_rule(v->job, &v->done) : -1;

        if (read_verdict(v, "SuccessCriteriaMet") || read_verdict(v, "FailureTarget") ||
                        fails_by_policy(v))
                return;
        if (fails_by_limit(v))
                fail(v, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
        else if (fails_by_deadline(v, w))
                fail(v, "DeadlineExceeded", "Job was active longer than specified deadline");
        else if (fails_by_many_indexes(v))
                fail(v, "MaxFailedIndexesExceeded",
                                "Job has exceeded the specified maximal number of failed indexes");
        else if (rule >= 0)
                set_verdict(v, "SuccessCriteriaMet", "SuccessPolicy",
                                strformat("Matched rules at index %lld", (long long)rule));
        else if (fails_by_indexes(v))
                fail(v, "FailedIndexes", "Job has failed indexes");
        else if (is_complete(v))
                set_verdict(v, "SuccessCriteriaMet", "CompletionsReached",
                                strdup("Reached expected number of succeeded pods"));
}

/* Nothing is made again after the verdict: what was kept for that is counted. */
static void count_delayed(struct job_view *v) {
        for (size_t i = 0; i < v->pods.count; i++) {
                struct job_pod *x = &v->items[i];

                if (!x->delayed)
                        continue;
                x->delayed = false;
                v->failed += job_pod_counts_failed(v, x);
        }
}

/* Pods with other labels than the selector's are no longer the job's. */
static void separate_released(struct job_view *v) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        size_t kept = 0;

        if (!json_at(v->job, "spec.selector") || /* the API fills it in */
                        label_selector_from_json(json_at(v->job, "spec.selector"), &selector, &p) <
                                        0)
                return;
        for (size_t i = 0; i < v->pods.count; i++) {
                const json_t *pod = v->pods.items[i];

                if (label_selector_matches(selector, json_at(pod, "metadata.labels")))
                        v->pods.items[kept++] = pod;
                else
                        objects_add(&v->released, pod);
        }
        v->pods.count = kept;
}

void job_view_read(struct job_view *v, const struct world *w, const json_t *job) {
        *v = (struct job_view){.job = job, .now_us = w->now_us};
        v->parallelism = json_int_or(job, "spec.parallelism", 1);
        v->completions = json_int_or(job, "spec.completions", -1);
        v->indexed = v->completions >= 0 &&
                     streq(json_str_or(job, "spec.completionMode", ""), "Indexed");
        v->per_index = v->indexed && json_at(job, "spec.backoffLimitPerIndex");
        v->suspended = json_bool_or(job, "spec.suspend", false);
        v->replace_failed = streq(json_str_or(job, "spec.podReplacementPolicy", ""), "Failed");
        world_owned(w, WORLD_PODS_BY_OWNER, job, &v->pods, &v->orphans);
        if (!object_is_deleting(job))
                separate_released(v);
        read_pods(v);
        count_running(v, w);
        if (v->indexed)
                read_indexes(v);
        count_ended(v);
        decide(v, w);
        if (v->verdict)
                count_delayed(v);
}

bool job_is_settled(const struct job_view *v) {
        if (v->active > 0 || v->terminating > 0)
                return false;
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];

                if (x->tracked && (x->noted || job_pod_counts_failed(v, x) ||
                                                  (x->state == JOB_POD_SUCCEEDED && !v->indexed)))
                        return false;
        }
        return true;
}
