/* Making and ending a job's pods: how many, which indexes, and the pause after a failure. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/workloads/job-internal.h"
#include "reconcilers/pods.h"

#define BACKOFF_BASE_US (10 * UINT64_C(1000000))
#define BACKOFF_MAX_US (360 * UINT64_C(1000000))

enum { BURST_MAX = 500, PREFIX_SIZE_MAX = 58, INDEX_SIZE = 24 };

/* --- one pod --- */

static void set_text(json_t *pod, const char *path, const char *key, const char *value) {
        json_t *map = json_at_mut(pod, path);

        if (!map) {
                assert(json_set_at(pod, path, json_object()) >= 0);
                map = json_at_mut(pod, path);
        }
        assert(json_object_set_new(map, key, json_string(value)) == 0);
}

static void set_labels(json_t *pod, const json_t *job) {
        static const char *const keys[] = {"batch.kubernetes.io/job-name", "job-name",
                        "batch.kubernetes.io/controller-uid", "controller-uid"};

        for (size_t i = 0; i < ELEMENTS(keys); i++)
                set_text(pod, "metadata.labels", keys[i],
                                i < 2 ? object_name(job) : object_uid(job));
}

static void add_index_variable(json_t *container) {
        json_t *env = json_object_get(container, "env"), *v;
        size_t i;

        if (!env) {
                env = json_array();
                assert(json_object_set_new(container, "env", env) == 0);
        }
        json_array_foreach (env, i, v)
                if (streq(json_str_or(v, "name", ""), "JOB_COMPLETION_INDEX"))
                        return;
        assert(json_array_append_new(
                               env, json_pack("{s:s, s:{s:{s:s}}}", "name", "JOB_COMPLETION_INDEX",
                                                    "valueFrom", "fieldRef", "fieldPath",
                                                    "metadata.labels['" JOB_INDEX "']")) == 0);
}

/* The pod's index: annotation, label, host name, environment and a place in its name. before: the
 * pod that failed with this index, NULL. */
static void set_index(json_t *pod, const struct job_view *v, int64_t index,
                const struct job_pod *before) {
        static const char *const lists[] = {"containers", "initContainers"};
        const char *name = object_name(v->job);
        char text[INDEX_SIZE], failures[INDEX_SIZE], ignored[INDEX_SIZE];
        _cleanup_free_ char *host = strformat("%s-%lld", name, (long long)index), *prefix = NULL;
        int keep;
        json_t *c;
        size_t i;

        snprintf(text, sizeof(text), "%lld", (long long)index);
        keep = PREFIX_SIZE_MAX - (int)strlen(text) - 2;
        prefix = strformat("%.*s-%s-", keep, name, text);
        assert(host && prefix);
        assert(json_set_str(pod, "metadata.generateName", prefix) >= 0);
        assert(json_set_str(pod, "spec.hostname", host) >= 0);
        set_text(pod, "metadata.annotations", JOB_INDEX, text);
        set_text(pod, "metadata.labels", JOB_INDEX, text);
        for (size_t l = 0; l < ELEMENTS(lists); l++)
                json_array_foreach (json_get(pod, "spec", lists[l], NULL), i, c)
                        add_index_variable(c);
        if (!v->per_index)
                return;
        snprintf(failures, sizeof(failures), "%lld",
                        before ? (long long)job_pod_number(before->pod, JOB_INDEX_FAILURES) +
                                                        (before->action != JOB_IGNORE)
                               : 0LL);
        set_text(pod, "metadata.annotations", JOB_INDEX_FAILURES, failures);
        if (!before || (before->action != JOB_IGNORE &&
                                       !object_annotation(before->pod, JOB_INDEX_IGNORED)))
                return;
        snprintf(ignored, sizeof(ignored), "%lld",
                        (long long)job_pod_number(before->pod, JOB_INDEX_IGNORED) +
                                        (before->action == JOB_IGNORE));
        set_text(pod, "metadata.annotations", JOB_INDEX_IGNORED, ignored);
}

static json_t *job_pod(const struct job_view *v) {
        json_t *pod = pod_from_template(
                        json_at(v->job, "spec.template"), v->job, "batch/v1", "Job");
        _cleanup_json_ json_t *shared = pod;
        json_t *finalizers;

        assert(pod);
        pod = json_deep_copy(shared);
        assert(pod);
        set_labels(pod, v->job);
        finalizers = json_at_mut(pod, "metadata.finalizers");
        if (finalizers)
                json_incref(finalizers);
        else
                finalizers = json_array();
        json_array_append_new(finalizers, json_string(JOB_FINALIZER));
        assert(json_set_at(pod, "metadata.finalizers", finalizers) >= 0);
        return pod;
}

static void create(const struct job_view *v, struct actions *a, int64_t index,
                const struct job_pod *before) {
        json_t *pod = job_pod(v);

        if (index >= 0)
                set_index(pod, v, index, before);
        action_create(a, "pods", object_namespace(v->job), pod);
        action_report_end(a, v->job, "Create", "Created pod: {}", "Error creating: ");
}

/* --- fewer --- */

/* How far a pod has come; those that have not begun are deleted first. */
static int progress_of(const json_t *pod) {
        if (isempty(json_str_or(pod, "spec.nodeName", "")))
                return 0;
        if (!streq(json_str_or(pod, "status.phase", ""), "Running"))
                return 1;
        return object_condition_true(pod, "Ready") ? 3 : 2;
}

static void delete_pod(const struct job_view *v, struct actions *a, const json_t *pod) {
        _cleanup_free_ char *done = strformat("Deleted pod: %s", object_name(pod));

        action_delete(a, "pods", pod, /* grace_s= */ -1, /* propagation= */ NULL);
        action_report_end(a, v->job, "Delete", strempty(done), "Error deleting: ");
}

/* Whether an active pod has an index that another one further on has too, or none. */
static bool is_surplus(const struct job_view *v, size_t i) {
        const struct job_pod *x = &v->items[i];
        size_t from = i;

        if (!v->indexed)
                return false;
        if (x->index < 0)
                return true;
        /* The pods of an index are neighbours. */
        while (from > 0 && v->items[from - 1].index == x->index)
                from--;
        for (size_t k = from; k < v->pods.count && v->items[k].index == x->index; k++) {
                const struct job_pod *y = &v->items[k];
                int of_x = progress_of(x->pod), of_y = progress_of(y->pod);

                if (k != i && y->state == JOB_POD_ACTIVE &&
                                (of_y > of_x || (of_y == of_x && k < i)))
                        return true;
        }
        return false;
}

void job_delete_active(const struct job_view *v, struct actions *a, int64_t count) {
        for (int progress = 0; progress <= 3; progress++)
                for (size_t i = v->pods.count; i-- > 0 && count > 0;) {
                        const struct job_pod *x = &v->items[i];

                        if (x->state != JOB_POD_ACTIVE || progress_of(x->pod) != progress)
                                continue;
                        delete_pod(v, a, x->pod);
                        count--;
                }
}

/* Deletes pods of surplus indexes; returns how many. */
static int64_t delete_surplus(const struct job_view *v, struct actions *a) {
        int64_t n = 0;

        for (size_t i = 0; i < v->pods.count; i++)
                if (v->items[i].state == JOB_POD_ACTIVE && is_surplus(v, i)) {
                        delete_pod(v, a, v->items[i].pod);
                        n++;
                }
        return n;
}

/* --- more --- */

/* How long to wait after that number of failures, the last of them at `since_us`; 0: not at all. */
static uint64_t pause_left(int64_t failures, uint64_t since_us, uint64_t now_us) {
        uint64_t pause = failures < 7 ? BACKOFF_BASE_US << MAX(failures - 1, INT64_C(0))
                                      : BACKOFF_MAX_US;
        uint64_t until = since_us + MIN(pause, BACKOFF_MAX_US);

        return failures > 0 && until > now_us ? until - now_us : 0;
}

/* The indexes of which a pod is there that keeps them from another one. */
static void read_taken(const struct job_view *v, struct ranges *ret) {
        for (size_t i = 0; i < v->pods.count; i++) {
                const struct job_pod *x = &v->items[i];

                if (x->index >= 0 &&
                                (x->state == JOB_POD_ACTIVE || (x->state == JOB_POD_TERMINATING &&
                                                                               v->replace_failed)))
                        assert(ranges_add(ret, (uint32_t)x->index) >= 0);
        }
}

static const struct job_pod *find_delayed(const struct job_view *v, int64_t index) {
        size_t low = 0, high = v->pods.count;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (v->items[middle].index < index)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; low < v->pods.count && v->items[low].index == index; low++)
                if (v->items[low].delayed)
                        return &v->items[low];
        return NULL;
}

static uint32_t next_pending(const struct job_view *v, const struct ranges *taken, uint32_t from) {
        for (;;) {
                uint32_t at = ranges_next_free(&v->done, from);

                at = ranges_next_free(&v->failed_indexes, at);
                at = ranges_next_free(taken, at);
                if (at == from)
                        return at;
                from = at;
        }
}

static void create_indexes(
                const struct job_view *v, const struct world *w, struct actions *a, int64_t count) {
        _cleanup_ranges_ struct ranges taken = {0};

        read_taken(v, &taken);
        for (uint32_t at = next_pending(v, &taken, 0); at < v->completions && count > 0;
                        at = next_pending(v, &taken, at + 1)) {
                const struct job_pod *before = v->per_index ? find_delayed(v, at) : NULL;
                uint64_t pause = 0;

                if (before)
                        pause = pause_left(job_pod_number(before->pod, JOB_INDEX_FAILURES) +
                                                           job_pod_number(before->pod,
                                                                           JOB_INDEX_IGNORED) +
                                                           1,
                                        job_pod_ended_us(v, before->pod), w->now_us);
                if (pause > 0) {
                        actions_requeue(a, pause);
                        continue;
                }
                create(v, a, at, before);
                count--;
        }
}

void job_adjust(const struct job_view *v, const struct world *w, struct actions *a) {
        int64_t failed = v->per_index ? (int64_t)ranges_count(&v->failed_indexes) : 0;
        int64_t want = v->completions >= 0
                                       ? MIN(v->parallelism, v->completions - v->succeeded - failed)
                       : v->succeeded > 0 ? MIN(v->parallelism, v->active)
                                          : v->parallelism;
        int64_t active = v->active - delete_surplus(v, a), missing;
        uint64_t pause = v->per_index ? 0
                                      : pause_left(v->failures_in_row, v->last_failure_us,
                                                        w->now_us);

        want = MAX(want, INT64_C(0));
        if (active < v->active)
                return; /* the rest when they are gone */
        if (active > want)
                job_delete_active(v, a, active - want);
        missing = want - active - (v->replace_failed ? v->terminating : 0);
        if (missing <= 0)
                return;
        if (pause > 0)
                actions_requeue(a, pause);
        else if (v->indexed)
                create_indexes(v, w, a, MIN(missing, (int64_t)BURST_MAX));
        else
                for (int64_t i = 0; i < missing && i < BURST_MAX; i++)
                        create(v, a, /* index= */ -1, /* before= */ NULL);
}
