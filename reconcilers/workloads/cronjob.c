/* CronJob: creates the jobs of a schedule.
 *
 * A run is named after its minute ("report-29393280"), so whoever starts it a second time, after a
 * crash or beside another controller, finds the name taken. What was started is recorded in
 * status.lastScheduleTime right after the job was created, in one write against the
 * resourceVersion. Of the runs that were missed since (nobody was there, or it was suspended) only
 * the last is started, and only within startingDeadlineSeconds. */
#include <time.h>

#include "lib/cron.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"
#include "reconcilers/schedule.h"

#define SCHEDULED "batch.kubernetes.io/cronjob-scheduled-timestamp"

struct view {
        const json_t *cronjob;
        struct objects jobs; /* that it owns */
        size_t active;       /* of its runs, not counting jobs that others created from it */
};

static void view_done(struct view *v) {
        objects_done(&v->jobs);
}

static const char *finished_as(const json_t *job) {
        return object_condition_true(job, "Complete") ? "Complete"
               : object_condition_true(job, "Failed") ? "Failed"
                                                      : NULL;
}

static bool is_listed(const json_t *cronjob, const json_t *job) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(cronjob, "status.active"), i, ref)
                if (streq(json_str_or(ref, "uid", ""), object_uid(job)))
                        return true;
        return false;
}

static bool is_active_run(const struct view *v, const json_t *job) {
        return !finished_as(job) &&
               (object_annotation(job, SCHEDULED) || is_listed(v->cronjob, job));
}

static void view_read(struct view *v, const struct world *w, const json_t *cronjob) {
        *v = (struct view){.cronjob = cronjob};
        world_list(w, WORLD_JOBS_BY_OWNER, object_uid(cronjob), &v->jobs);
        for (size_t i = 0; i < v->jobs.count; i++)
                v->active += is_active_run(v, v->jobs.items[i]);
}

/* The scheduled time of the last run that was started, in seconds; 0: none was. */
static int64_t last_started(const struct view *v) {
        int64_t last = (int64_t)(time_at(v->cronjob, "status.lastScheduleTime") / 1000000);

        for (size_t i = 0; i < v->jobs.count; i++) {
                const char *at = object_annotation(v->jobs.items[i], SCHEDULED);
                uint64_t us;

                if (at && time_parse(at, &us) == 0)
                        last = MAX(last, (int64_t)(us / 1000000));
        }
        return last;
}

/* --- what to do --- */

/* "2026-03-29T02:00:00+01:00": the run's time as the schedule's zone writes it. */
static char *local_time_text(const struct time_zone *zone, int64_t at) {
        int64_t until, offset = time_zone_offset(zone, at, &until);
        int64_t size = offset < 0 ? -offset : offset;
        char text[TIMEFMT_SIZE], end[16] = "Z";

        time_format((uint64_t)(at + offset) * 1000000, text);
        text[strlen(text) - 1] = 0;
        if (offset != 0)
                snprintf(end, sizeof(end), "%c%02d:%02d", offset < 0 ? '-' : '+',
                                (int)(size / 3600 % 100), (int)(size / 60 % 60));
        return strformat("%s%s", text, end);
}

static char *run_name(const json_t *cronjob, int64_t at) {
        char *name = strformat("%s-%lld", object_name(cronjob), (long long)(at / 60));

        assert(name);
        return name;
}

static json_t *job_of_run(const json_t *cronjob, const struct time_zone *zone, int64_t at) {
        const json_t *template = json_at(cronjob, "spec.jobTemplate");
        _cleanup_json_ json_t *annotations =
                        json_deep_copy(json_at(template, "metadata.annotations"));
        _cleanup_free_ char *name = run_name(cronjob, at), *time = local_time_text(zone, at);
        json_t *metadata, *job;

        if (!annotations)
                annotations = json_object();
        assert(time && json_object_set_new(annotations, SCHEDULED, json_string(time)) == 0);
        metadata = json_pack("{s:s, s:s, s:O*, s:O, s:[o]}", "name", name, "namespace",
                        object_namespace(cronjob), "labels", json_at(template, "metadata.labels"),
                        "annotations", annotations, "ownerReferences",
                        controller_ref(cronjob, "batch/v1", "CronJob"));
        job = json_pack("{s:s, s:s, s:o, s:O}", "apiVersion", "batch/v1", "kind", "Job", "metadata",
                        metadata, "spec", json_object_get(template, "spec"));
        assert(job);
        return job;
}

static void delete_job(const json_t *cronjob, const json_t *job, struct actions *a) {
        _cleanup_free_ char *done = strformat("Deleted job %s", object_name(job));

        if (object_is_deleting(job))
                return;
        action_delete(a, "jobs", job, /* grace_s= */ -1, "Background");
        action_report_end(a, cronjob, "Delete", strempty(done), "Error deleting job: ");
}

static void record_start(const json_t *cronjob, int64_t at, struct actions *a) {
        char text[TIMEFMT_SIZE];

        action_patch(a, "cronjobs", cronjob, "status",
                        json_pack("{s:{s:s}}", "status", "lastScheduleTime",
                                        time_format((uint64_t)at * 1000000, text)));
}

static void start_run(const struct view *v, const struct world *w, const struct time_zone *zone,
                int64_t at, struct actions *a) {
        const char *policy = json_str_or(v->cronjob, "spec.concurrencyPolicy", "Allow");
        _cleanup_free_ char *name = run_name(v->cronjob, at);
        const json_t *there = world_get(w, WORLD_JOBS, object_namespace(v->cronjob), name);

        if (there) {
                const json_t *ref = object_controller_ref(there);

                if (ref && streq(json_str_or(ref, "uid", ""), object_uid(v->cronjob)))
                        record_start(v->cronjob, at, a);
                else
                        action_event(a, v->cronjob, "Warning", "FailedCreate",
                                        "Error creating job: the name %s is taken by a job of "
                                        "another owner; delete or rename it",
                                        name);
                return;
        }
        if (v->active > 0 && streq(policy, "Forbid")) {
                action_event(a, v->cronjob, "Normal", "JobAlreadyActive",
                                "Not starting job because prior execution is running and "
                                "concurrency policy is Forbid");
                return;
        }
        for (size_t i = 0; i < v->jobs.count && streq(policy, "Replace"); i++)
                if (is_active_run(v, v->jobs.items[i]))
                        delete_job(v->cronjob, v->jobs.items[i], a);
        action_create(a, "jobs", object_namespace(v->cronjob), job_of_run(v->cronjob, zone, at));
        action_report_end(a, v->cronjob, "Create", "Created job {}", "Error creating job: ");
        /* Recorded only when the job is there. */
        actions_barrier(a);
        record_start(v->cronjob, at, a);
}

static void miss_run(const json_t *cronjob, int64_t at, struct actions *a) {
        char text[64] = "";
        time_t t = at;
        struct tm tm;

        if (gmtime_r(&t, &tm))
                strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm);
        action_event(a, cronjob, "Warning", "MissSchedule",
                        "Missed scheduled time to start a job: %s", text);
}

static int read_schedule(const struct view *v, const struct world *w, struct cron *ret,
                struct time_zone **ret_zone, struct actions *a) {
        const char *schedule = json_str_or(v->cronjob, "spec.schedule", "");
        const char *zone = json_str(v->cronjob, "spec.timeZone");
        _cleanup_problem_ struct problem p = {0};
        int r = cron_parse(schedule, ret, &p);

        if (r < 0) {
                action_event(a, v->cronjob, "Warning", "UnparseableSchedule",
                                "unparseable schedule: \"%s\" : %s", schedule, strempty(p.message));
                return r;
        }
        r = zone ? world_zone(w, zone, ret_zone) : 0;
        if (r < 0)
                action_event(a, v->cronjob, "Warning", "UnknownTimeZone",
                                "invalid timeZone: \"%s\": %s: install the package tzdata on the "
                                "control plane, or correct the name",
                                zone, strerror(-r));
        return r;
}

static void plan_runs(const struct view *v, const struct world *w, struct actions *a) {
        int64_t now = (int64_t)(w->now_us / 1000000), started = last_started(v);
        int64_t from = started > 0 ? started : (int64_t)(object_created_us(v->cronjob) / 1000000);
        int64_t deadline = json_int_or(v->cronjob, "spec.startingDeadlineSeconds", -1);
        _cleanup_(time_zone_freep) struct time_zone *zone = NULL;
        struct cron c;
        struct schedule_due due;

        if (read_schedule(v, w, &c, &zone, a) < 0)
                return;
        schedule_find_due(&c, zone, from, now, &due);
        if (due.many && deadline < 0)
                action_event(a, v->cronjob, "Warning", "TooManyMissedTimes",
                                "too many missed start times. Set or decrease "
                                ".spec.startingDeadlineSeconds or check clock skew");
        if (due.next > 0)
                actions_requeue(a, (uint64_t)due.next * 1000000 - w->now_us);
        if (due.last == 0)
                return;
        if (deadline >= 0 && now - due.last > deadline)
                miss_run(v->cronjob, due.last, a);
        else
                start_run(v, w, zone, due.last, a);
}

/* --- ended pods --- */

static uint64_t order_of(const json_t *job) {
        uint64_t started = time_at(job, "status.startTime");

        return started ? started : object_created_us(job);
}

static int oldest_first(const void *a, const void *b) {
        const json_t *x = *(const json_t *const *)a, *y = *(const json_t *const *)b;
        uint64_t of_x = order_of(x), of_y = order_of(y);

        return of_x != of_y ? (of_x > of_y) - (of_x < of_y)
                            : strcmp(object_name(x), object_name(y));
}

/* Deletes the oldest jobs that ended in this way, beyond the limit. */
static void trim_history(
                const struct view *v, const char *how, const char *limit_path, struct actions *a) {
        const json_t *limit = json_at(v->cronjob, limit_path);
        _cleanup_objects_ struct objects ended = {0};

        if (!json_is_integer(limit))
                return;
        for (size_t i = 0; i < v->jobs.count; i++)
                if (streq_ptr(finished_as(v->jobs.items[i]), how))
                        objects_add(&ended, v->jobs.items[i]);
        if (ended.count > 0)
                qsort(ended.items, ended.count, sizeof(*ended.items), oldest_first);
        for (size_t i = 0; (json_int_t)(ended.count - i) > json_integer_value(limit); i++)
                delete_job(v->cronjob, ended.items[i], a);
}

/* The job of a reference in status.active, NULL when it is no longer there. */
static const json_t *find_job(const struct view *v, const json_t *ref) {
        for (size_t i = 0; i < v->jobs.count; i++)
                if (streq(object_uid(v->jobs.items[i]), json_str_or(ref, "uid", "")))
                        return v->jobs.items[i];
        return NULL;
}

static void plan_events(const struct view *v, struct actions *a) {
        const json_t *ref;
        size_t i;

        json_array_foreach (json_at(v->cronjob, "status.active"), i, ref) {
                const json_t *job = find_job(v, ref);
                const char *name = json_str_or(ref, "name", "");

                if (!job)
                        action_event(a, v->cronjob, "Normal", "MissingJob",
                                        "Active job went missing: %s", name);
                else if (finished_as(job))
                        action_event(a, v->cronjob, "Normal", "SawCompletedJob",
                                        "Saw completed job: %s, condition: %s", name,
                                        finished_as(job));
        }
        for (size_t k = 0; k < v->jobs.count; k++) {
                const json_t *job = v->jobs.items[k];

                if (!finished_as(job) && !is_active_run(v, job) &&
                                !json_at(job, "status.startTime"))
                        action_event(a, v->cronjob, "Warning", "UnexpectedJob",
                                        "Saw a job that the controller did not create or forgot: "
                                        "%s",
                                        object_name(job));
        }
}

/* --- the three functions --- */

static void cronjob_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_CRONJOBS)
                wake_object(out, object);
        else
                wake_controller(out, object, "batch", "CronJob");
}

static void cronjob_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *cronjob = world_get_key(w, WORLD_CRONJOBS, name);
        _cleanup_(view_done) struct view v = {0};

        if (!cronjob)
                return;
        view_read(&v, w, cronjob);
        plan_events(&v, a);
        if (object_is_deleting(cronjob))
                return;
        trim_history(&v, "Complete", "spec.successfulJobsHistoryLimit", a);
        trim_history(&v, "Failed", "spec.failedJobsHistoryLimit", a);
        if (!json_bool_or(cronjob, "spec.suspend", false))
                plan_runs(&v, w, a);
}

static json_t *active_list(const struct view *v) {
        json_t *list = json_array();

        assert(list);
        for (size_t i = 0; i < v->jobs.count; i++) {
                const json_t *job = v->jobs.items[i];

                if (is_active_run(v, job))
                        assert(json_array_append_new(list,
                                               json_pack("{s:s, s:s, s:s, s:s, s:s}", "apiVersion",
                                                               "batch/v1", "kind", "Job",
                                                               "namespace", object_namespace(job),
                                                               "name", object_name(job), "uid",
                                                               object_uid(job))) == 0);
        }
        return list;
}

static json_t *cronjob_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *cronjob = world_get_key(w, WORLD_CRONJOBS, name);
        _cleanup_(view_done) struct view v = {0};
        char scheduled[TIMEFMT_SIZE], ended[TIMEFMT_SIZE];
        uint64_t successful;
        json_t *status, *active;
        int64_t last;

        if (!cronjob)
                return NULL;
        view_read(&v, w, cronjob);
        last = last_started(&v);
        successful = time_at(cronjob, "status.lastSuccessfulTime");
        for (size_t i = 0; i < v.jobs.count; i++)
                if (streq_ptr(finished_as(v.jobs.items[i]), "Complete"))
                        successful = MAX(successful,
                                        time_at(v.jobs.items[i], "status.completionTime"));
        status = json_object();
        active = active_list(&v);
        assert(status);
        if (json_array_size(active) > 0)
                json_object_set(status, "active", active);
        json_decref(active);
        if (last > 0)
                json_set_str(status, "lastScheduleTime",
                                time_format((uint64_t)last * 1000000, scheduled));
        if (successful > 0)
                json_set_str(status, "lastSuccessfulTime", time_format(successful, ended));
        return status;
}

const struct controller cronjob_controller = {
                .name = "cronjob",
                .primary = WORLD_CRONJOBS,
                .kinds = WORLD_BIT(WORLD_CRONJOBS) | WORLD_BIT(WORLD_JOBS),
                .wake = cronjob_wake,
                .plan = cronjob_plan,
                .report = cronjob_report,
};
