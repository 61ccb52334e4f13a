/* TTL after finished: deletes a job spec.ttlSecondsAfterFinished seconds after it ended, with its
 * pods. Jobs of other controllers (spec.managedBy) too: their end is what counts. */
#include "lib/object.h"
#include "reconcilers/controller.h"
#include "reconcilers/pods.h"

static void ttl_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (!gone && json_at(object, "spec.ttlSecondsAfterFinished"))
                wake_object(out, object);
}

/* The condition that ended the job, NULL when it has not ended. */
static const json_t *end_of(const json_t *job) {
        if (object_condition_true(job, "Complete"))
                return object_condition(job, "Complete");
        return object_condition_true(job, "Failed") ? object_condition(job, "Failed") : NULL;
}

static void ttl_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *job = world_get_key(w, WORLD_JOBS, name), *end = job ? end_of(job) : NULL;
        const json_t *ttl = json_at(job, "spec.ttlSecondsAfterFinished");
        uint64_t due;

        if (!end || !json_is_integer(ttl) || object_is_deleting(job))
                return;
        /* Nothing is deleted by a time that is not known. */
        due = time_at(end, "lastTransitionTime");
        if (due == 0)
                return;
        due += (uint64_t)MAX(json_integer_value(ttl), (json_int_t)0) * 1000000;
        if (due <= w->now_us)
                action_delete(a, "jobs", job, /* grace_s= */ -1, "Foreground");
        else
                actions_requeue(a, due - w->now_us);
}

const struct controller ttl_controller = {
                .name = "ttl",
                .primary = WORLD_JOBS,
                .kinds = WORLD_BIT(WORLD_JOBS),
                .wake = ttl_wake,
                .plan = ttl_plan,
};
