/* Deployment: reading the family of ReplicaSets, and the status that `rollout status` waits on. */
#include <stdarg.h>

#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/workloads/deployment-internal.h"

int64_t set_replicas(const json_t *rs) {
        return json_int_or(rs, "spec.replicas", 1);
}

int64_t set_status(const json_t *rs, const char *field) {
        return json_int_or(json_object_get(rs, "status"), field, 0);
}

int64_t sets_spec_replicas(const struct rollout *d) {
        int64_t sum = 0;

        for (size_t i = 0; i < d->sets.count; i++)
                sum += set_replicas(d->sets.items[i]);
        return sum;
}

int64_t sets_status(const struct rollout *d, const char *field) {
        int64_t sum = 0;

        for (size_t i = 0; i < d->sets.count; i++)
                sum += set_status(d->sets.items[i], field);
        return sum;
}

static bool same_template(const json_t *deployment, const json_t *rs) {
        _cleanup_json_ json_t *copy = json_deep_copy(json_at(rs, "spec.template"));
        const json_t *want = json_at(deployment, "spec.template");

        assert(copy);
        json_object_del(json_at_mut(copy, "metadata.labels"), HASH_LABEL);
        return json_equal(copy, want);
}

static int compare_created(const void *x, const void *y) {
        const json_t *a = *(const json_t *const *)x, *b = *(const json_t *const *)y;
        uint64_t ta = object_created_us(a), tb = object_created_us(b);

        return ta != tb ? (ta < tb ? -1 : 1) : strcmp(object_name(a), object_name(b));
}

void rollout_read(struct rollout *d, const struct world *w, const json_t *deployment) {
        d->deployment = deployment;
        d->replicas = MAX(json_int_or(deployment, "spec.replicas", 1), (int64_t)0);
        d->paused = json_bool_or(deployment, "spec.paused", false);
        d->strategy = streq(json_str_or(deployment, "spec.strategy.type", ""),
                                      recreate_strategy.type)
                                      ? &recreate_strategy
                                      : &rolling_update_strategy;
        d->strategy->read(d);
        world_owned(w, WORLD_REPLICASETS_BY_OWNER, deployment, &d->sets, &d->orphans);
        if (d->sets.count > 0)
                qsort(d->sets.items, d->sets.count, sizeof(*d->sets.items), compare_created);
        template_hash(json_at(deployment, "spec.template"),
                        json_int_or(deployment, "status.collisionCount", 0), d->hash);
        /* The oldest of equal ones, so that the choice is stable when there are two. */
        for (size_t i = 0; i < d->sets.count && !d->new_set; i++)
                if (!object_is_deleting(d->sets.items[i]) &&
                                same_template(deployment, d->sets.items[i]))
                        d->new_set = d->sets.items[i];
        /* Defaults added by a newer server make templates differ that were made from one another.
         */
        for (size_t i = 0; i < d->sets.count && !d->new_set; i++)
                if (!object_is_deleting(d->sets.items[i]) &&
                                streq_ptr(object_label(d->sets.items[i], HASH_LABEL), d->hash))
                        d->new_set = d->sets.items[i];
}

void rollout_done(struct rollout *d) {
        objects_done(&d->sets);
        objects_done(&d->orphans);
}

bool rollout_is_complete(const struct rollout *d) {
        return d->new_set && set_status(d->new_set, "replicas") == d->replicas &&
               set_status(d->new_set, "availableReplicas") == d->replicas &&
               set_replicas(d->new_set) == d->replicas && sets_status(d, "replicas") == d->replicas;
}

static bool made_progress(const json_t *old, const json_t *status) {
        int64_t old_replicas = json_int_or(old, "replicas", 0);
        int64_t old_updated = json_int_or(old, "updatedReplicas", 0);
        int64_t updated = json_int_or(status, "updatedReplicas", 0);

        return updated > old_updated ||
               json_int_or(status, "replicas", 0) - updated < old_replicas - old_updated ||
               json_int_or(status, "readyReplicas", 0) > json_int_or(old, "readyReplicas", 0) ||
               json_int_or(status, "availableReplicas", 0) >
                               json_int_or(old, "availableReplicas", 0);
}

static const json_t *find_condition(const json_t *conditions, const char *type) {
        json_t *c;
        size_t i;

        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), type))
                        return c;
        return NULL;
}

static void progressing(json_t *conditions, const char *status, const char *reason, const char *now,
                const char *fmt, ...) _printf_(5, 6);
static void progressing(json_t *conditions, const char *status, const char *reason, const char *now,
                const char *fmt, ...) {
        _cleanup_free_ char *message = NULL;
        va_list ap;

        va_start(ap, fmt);
        if (vasprintf(&message, fmt, ap) < 0)
                message = NULL;
        va_end(ap);
        condition_set(conditions, "Progressing", status, reason, message, now, true);
}

void progress_condition(const struct rollout *d, const struct world *w, json_t *conditions,
                const json_t *status, const struct problem *failed, uint64_t *ret_wait_us) {
        int64_t deadline = json_int_or(d->deployment, "spec.progressDeadlineSeconds", 600);
        const json_t *was = find_condition(conditions, "Progressing");
        const char *reason = json_str_or(was, "reason", ""), *name = object_name(d->deployment);
        const char *set = d->new_set ? object_name(d->new_set) : "";
        const json_t *old_status = json_object_get(d->deployment, "status");
        bool new_generation = json_int_or(old_status, "observedGeneration", 0) !=
                              object_generation(d->deployment);
        char now[TIMEFMT_SIZE];
        uint64_t until;

        time_format(w->now_us, now);
        if (d->paused) {
                if (!streq(reason, "DeploymentPaused"))
                        progressing(conditions, "Unknown", "DeploymentPaused", now,
                                        "Deployment is paused");
                return;
        }
        if (rollout_is_complete(d)) {
                if (!streq(reason, "NewReplicaSetAvailable") || new_generation)
                        progressing(conditions, "True", "NewReplicaSetAvailable", now,
                                        "ReplicaSet \"%s\" has successfully progressed.", set);
                return;
        }
        if (failed && failed->code >= 400 && failed->code != 409) {
                progressing(conditions, "False", "ReplicaSetCreateError", now, "%s",
                                strempty(failed->message));
                return;
        }
        if (!was || streq(reason, "DeploymentPaused") || new_generation ||
                        made_progress(old_status, status)) {
                if (d->new_set)
                        progressing(conditions, "True", "ReplicaSetUpdated", now,
                                        "ReplicaSet \"%s\" is progressing.", set);
                else
                        progressing(conditions, "True", "NewReplicaSetCreated", now,
                                        "Deployment \"%s\" is creating its new ReplicaSet.", name);
                return;
        }
        /* Once the rollout was complete, a lost pod does not start the deadline again. */
        if (deadline >= INT32_MAX || streq(reason, "NewReplicaSetAvailable") ||
                        streq(reason, "ProgressDeadlineExceeded"))
                return;
        until = time_at(was, "lastUpdateTime") + (uint64_t)deadline * 1000000;
        if (until <= w->now_us)
                progressing(conditions, "False", "ProgressDeadlineExceeded", now,
                                "ReplicaSet \"%s\" has timed out progressing.", set);
        else if (ret_wait_us && (*ret_wait_us == 0 || until - w->now_us < *ret_wait_us))
                *ret_wait_us = until - w->now_us;
}

static void available_condition(
                const struct rollout *d, json_t *conditions, int64_t available, const char *now) {
        bool enough = available >= d->replicas - d->unavailable;
        const json_t *was = find_condition(conditions, "Available");

        if (was && streq(json_str_or(was, "status", ""), enough ? "True" : "False"))
                return;
        condition_set(conditions, "Available", enough ? "True" : "False",
                        enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                        enough ? "Deployment has minimum availability."
                               : "Deployment does not have minimum availability.",
                        now, true);
}

/* What keeps pods from being made or deleted, as the ReplicaSets report it: the new one first. */
static void failure_condition(const struct rollout *d, json_t *conditions, const char *now) {
        const json_t *failure = d->new_set ? object_condition(d->new_set, "ReplicaFailure") : NULL;
        json_t *c;
        size_t i;

        for (i = 0; i < d->sets.count && !failure; i++)
                failure = object_condition(d->sets.items[i], "ReplicaFailure");
        if (failure) {
                const char *message = json_str_or(failure, "message", "");

                /* A condition that says the same is not written again. */
                if (streq(json_str_or(find_condition(conditions, "ReplicaFailure"), "message", ""),
                                    message))
                        return;
                condition_set(conditions, "ReplicaFailure", json_str_or(failure, "status", "True"),
                                json_str_or(failure, "reason", "FailedCreate"), message, now,
                                /* with_update_time= */ true);
                return;
        }
        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), "ReplicaFailure")) {
                        json_array_remove(conditions, i);
                        return;
                }
}

json_t *deployment_report(const struct world *w, const char *name, const struct problem *failed) {
        const json_t *deployment = world_get_key(w, WORLD_DEPLOYMENTS, name);
        _cleanup_(rollout_done) struct rollout d = {0};
        int64_t replicas, available, collisions;
        json_t *conditions, *status;
        char now[TIMEFMT_SIZE];

        if (!deployment || object_is_deleting(deployment))
                return NULL;
        rollout_read(&d, w, deployment);
        replicas = sets_status(&d, "replicas");
        available = sets_status(&d, "availableReplicas");
        status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "observedGeneration",
                        (json_int_t)object_generation(deployment), "replicas", (json_int_t)replicas,
                        "updatedReplicas",
                        (json_int_t)(d.new_set ? set_status(d.new_set, "replicas") : 0),
                        "readyReplicas", (json_int_t)sets_status(&d, "readyReplicas"),
                        "availableReplicas", (json_int_t)available, "unavailableReplicas",
                        (json_int_t)MAX(replicas - available, (int64_t)0));
        assert(status);
        json_object_set_new(status, "terminatingReplicas",
                        json_integer(sets_status(&d, "terminatingReplicas")));
        collisions = json_int_or(deployment, "status.collisionCount", 0);
        /* The name is taken by another owner's ReplicaSet: the next hash uses another collision
         * count. */
        if (failed && !d.new_set && streq_ptr(failed->reason, "AlreadyExists"))
                collisions++;
        if (collisions > 0)
                json_object_set_new(status, "collisionCount", json_integer(collisions));
        conditions = json_deep_copy(json_at(deployment, "status.conditions"));
        if (!conditions)
                conditions = json_array();
        available_condition(&d, conditions, available, time_format(w->now_us, now));
        progress_condition(&d, w, conditions, status, failed, NULL);
        failure_condition(&d, conditions, now);
        json_object_set_new(status, "conditions", conditions);
        return status;
}
