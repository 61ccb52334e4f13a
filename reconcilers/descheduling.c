/* Descheduling: evicts pods that would be placed elsewhere today, at times, within limits.
 *
 *      due --> claim: status.lastScheduleTime and status.running, against the resourceVersion
 *          --> the run (descheduling-run.c), which writes status.lastRun at its end
 *
 * A run is claimed before it begins, so that each is started once, whichever kreconciled leads. A
 * run that nobody continues (its kreconciled was killed) is seen by status.running without a round
 * of this controller: it is recorded as interrupted and not repeated, for its limits are spent. Of
 * the runs that were missed only the last is made up for. One run at a time, of all Deschedulings:
 * two would decide about the same pods. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/descheduling-internal.h"
#include "reconcilers/pods.h"
#include "reconcilers/schedule.h"

#define REQUESTED_AT "keelson.dev/reconcileAt"

static void descheduling_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_DESCHEDULINGS)
                wake_object(out, object);
}

/* --- when --- */

struct times {
        struct cron cron;
        struct time_zone *zone;
        bool scheduled;    /* or only on request */
        const char *fault; /* the reason of the condition; NULL: none */
        char *why;
};

static void times_done(struct times *t) {
        time_zone_free(t->zone);
        free(t->why);
}

static void read_times(const struct world *w, const json_t *o, struct times *ret) {
        const char *schedule = json_str(o, "spec.schedule"), *zone = json_str(o, "spec.timeZone");
        const char *interval = json_str(o, "spec.interval");
        _cleanup_problem_ struct problem p = {0};
        uint64_t us = 0;
        int r;

        *ret = (struct times){.scheduled = schedule || interval};
        if (schedule && cron_parse(schedule, &ret->cron, &p) < 0) {
                ret->fault = "InvalidSchedule";
                ret->why = strformat("schedule \"%s\": %s", schedule, strempty(p.message));
                assert(ret->why);
                return;
        }
        if (!schedule && interval && parse_duration_us(interval, &us) >= 0)
                ret->cron.every_s = MAX((int64_t)(us / 1000000), INT64_C(1));
        r = schedule && zone ? world_zone(w, zone, &ret->zone) : 0;
        if (r < 0) {
                ret->fault = "UnknownTimeZone";
                ret->why = strformat("time zone \"%s\": %s: install the package tzdata on the "
                                     "control plane, or correct the name",
                                zone, strerror(-r));
                assert(ret->why);
        }
}

static void find_due(const struct world *w, const json_t *o, const struct times *t,
                struct schedule_due *ret) {
        int64_t now = (int64_t)(w->now_us / 1000000);
        int64_t last = (int64_t)(time_at(o, "status.lastScheduleTime") / 1000000);
        int64_t from = last > 0 ? last : (int64_t)(object_created_us(o) / 1000000);
        int64_t deadline = json_int_or(o, "spec.startingDeadlineSeconds", -1);

        *ret = (struct schedule_due){0};
        if (!t->scheduled || t->fault)
                return;
        schedule_find_due(&t->cron, t->zone, from, now, ret);
        if (deadline >= 0 && now - ret->last > deadline)
                ret->last = 0;
}

/* The value of the annotation that asks for a run and was not answered yet; NULL: none. */
static const char *find_request(const json_t *o) {
        const char *at = object_annotation(o, REQUESTED_AT);

        return at && !streq(at, json_str_or(o, "status.lastHandledReconcileAt", "")) ? at : NULL;
}

/* --- the plan --- */

static void put_time(json_t *status, const char *field, int64_t seconds) {
        char text[TIMEFMT_SIZE];

        assert(json_set_str(status, field, time_format((uint64_t)seconds * 1000000, text)) >= 0);
}

static void start(const struct world *w, const json_t *o, int64_t scheduled, const char *request,
                struct actions *a) {
        char now[TIMEFMT_SIZE];
        json_t *status = json_pack("{s:{s:s, s:b, s:i, s:i, s:i, s:i}, s:s*}", "running",
                        "startTime", time_format(w->now_us, now), "dryRun",
                        json_bool_or(o, "spec.dryRun", false), "evicted", 0, "wouldEvict", 0,
                        "refused", 0, "failed", 0, "lastHandledReconcileAt", request);

        assert(status);
        if (scheduled > 0)
                put_time(status, "lastScheduleTime", scheduled);
        action_patch(a, "deschedulings", o, "status", json_pack("{s:o}", "status", status));
        actions_barrier(a);
        action_deschedule(a, o);
}

/* Nobody continues the run of status.running. */
static void record_interrupted(const struct world *w, const json_t *o, struct actions *a) {
        const char *why = "kreconciled ended during the run; it is not repeated";
        json_t *last = json_deep_copy(json_at(o, "status.running"));
        char now[TIMEFMT_SIZE];

        assert(last);
        assert(json_set_str(last, "completionTime", time_format(w->now_us, now)) >= 0);
        assert(json_set_str(last, "result", "Interrupted") >= 0);
        assert(json_set_str(last, "message", why) >= 0);
        assert(json_object_set_new(last, "evictions", json_array()) == 0);
        assert(json_object_set_new(last, "strategies", json_array()) == 0);
        assert(json_object_set_new(last, "kept", json_array()) == 0);
        action_patch(a, "deschedulings", o, "status",
                        json_pack("{s:{s:n, s:o}}", "status", "running", "lastRun", last));
        action_event(a, o, "Warning", "Interrupted", "%s", why);
}

static void descheduling_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *o = world_get_key(w, WORLD_DESCHEDULINGS, name);
        const char *request = o ? find_request(o) : NULL;
        _cleanup_(times_done) struct times times = {0};
        struct schedule_due due;

        if (!o || object_is_deleting(o))
                return;
        if (json_at(o, "status.running")) {
                record_interrupted(w, o, a);
                return;
        }
        if (json_bool_or(o, "spec.suspend", false))
                return;
        read_times(w, o, &times);
        find_due(w, o, &times, &due);
        if (due.next > 0)
                actions_requeue(a, (uint64_t)due.next * 1000000 - w->now_us);
        if (due.last > 0 || request)
                start(w, o, due.last, request, a);
}

/* --- the report --- */

static char *schedule_text(const json_t *o) {
        const char *schedule = json_str(o, "spec.schedule"), *zone = json_str(o, "spec.timeZone");
        const char *interval = json_str(o, "spec.interval");
        const char *paused = json_bool_or(o, "spec.suspend", false) ? " (suspended)" : "";
        char *text = schedule   ? strformat("%s%s%s%s", schedule, zone ? " " : "", strempty(zone),
                                                  paused)
                     : interval ? strformat("every %s%s", interval, paused)
                                : strformat("on request%s", paused);

        assert(text);
        return text;
}

static void put_condition(json_t *status, const struct world *w, const struct times *t) {
        json_t *conditions = json_deep_copy(json_object_get(status, "conditions"));
        char now[TIMEFMT_SIZE];

        if (!conditions)
                conditions = json_array();
        assert(conditions);
        condition_set(conditions, "Ready", t->fault ? "False" : "True",
                        t->fault ? t->fault : "ScheduleValid", strempty(t->why),
                        time_format(w->now_us, now), /* heartbeat= */ false);
        assert(json_object_set_new(status, "conditions", conditions) == 0);
}

static json_t *descheduling_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *o = world_get_key(w, WORLD_DESCHEDULINGS, name);
        _cleanup_(times_done) struct times times = {0};
        _cleanup_free_ char *schedule = NULL;
        struct schedule_due due;
        json_t *status;

        if (!o || object_is_deleting(o))
                return NULL;
        read_times(w, o, &times);
        find_due(w, o, &times, &due);
        schedule = schedule_text(o);
        status = json_deep_copy(json_object_get(o, "status"));
        if (!status)
                status = json_object();
        assert(status);
        assert(json_set_int(status, "observedGeneration", object_generation(o)) >= 0);
        assert(json_set_str(status, "schedule", schedule) >= 0);
        put_condition(status, w, &times);
        if (due.next > 0 && !json_bool_or(o, "spec.suspend", false))
                put_time(status, "nextScheduleTime", due.next);
        else
                json_object_del(status, "nextScheduleTime");
        return status;
}

const struct controller descheduling_controller = {
                .name = "descheduling",
                .primary = WORLD_DESCHEDULINGS,
                .kinds = WORLD_BIT(WORLD_DESCHEDULINGS) | WORLD_BIT(WORLD_NODES) |
                         WORLD_BIT(WORLD_PODS) | WORLD_BIT(WORLD_NAMESPACES) |
                         WORLD_BIT(WORLD_CLASSES) | WORLD_BIT(WORLD_VOLUMES) |
                         WORLD_BIT(WORLD_CLAIMS) | WORLD_BIT(WORLD_PRIORITYCLASSES),
                .rounds_max = 1,
                .wake = descheduling_wake,
                .plan = descheduling_plan,
                .report = descheduling_report,
};
