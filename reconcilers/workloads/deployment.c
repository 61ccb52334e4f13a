/* Deployment: one ReplicaSet for the present template ("new"), the others ("old") scaled away,
 * never above replicas + maxSurge pods, never below replicas - maxUnavailable available ones. A
 * rollback restores an older template: its ReplicaSet is found by template and becomes the new one
 * with the next revision. The steps are those of the Deployment page of the Kubernetes
 * documentation; how old pods are replaced is in deployment-strategy.c. */
#include "lib/object.h"
#include "lib/timefmt.h"
#include "reconcilers/workloads/deployment-internal.h"

enum { HISTORY_SIZE_MAX = 2000 };

static void deployment_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_DEPLOYMENTS)
                wake_object(out, object);
        else if (kind == WORLD_REPLICASETS) {
                if (old)
                        wake_controller(out, old, "apps", "Deployment");
                wake_controller(out, object, "apps", "Deployment");
                wake_selecting(w, out, WORLD_DEPLOYMENTS_BY_NS, object);
        } else if (kind == WORLD_PODS && gone) {
                /* Recreate waits until the last old pod is gone. */
                const json_t *ref = object_controller_ref(object);
                const json_t *rs = !ref ? NULL
                                        : world_get(w, WORLD_REPLICASETS, object_namespace(object),
                                                          json_str_or(ref, "name", ""));

                if (rs)
                        wake_controller(out, rs, "apps", "Deployment");
        }
}

static json_t *with_string(json_t *map, const char *key, const char *value) {
        if (!map)
                map = json_object();
        json_object_set_new(map, key, json_string(value));
        return map;
}

static int64_t revision_of(const json_t *o) {
        const char *text = object_annotation(o, REVISION_ANNOTATION);
        int64_t v;

        return text && parse_i64(text, &v) >= 0 ? v : 0;
}

static int64_t next_revision(const struct rollout *d) {
        int64_t max = 0, own = d->new_set ? revision_of(d->new_set) : 0;

        for (size_t i = 0; i < d->sets.count; i++)
                if (d->sets.items[i] != d->new_set)
                        max = MAX(max, revision_of(d->sets.items[i]));
        return own > max ? own : max + 1;
}

static json_t *number_text(int64_t v) {
        return json_sprintf("%lld", (long long)v);
}

/* "1,3": the revisions under which the new set was in use before this one; NULL when there is none.
 * The oldest are dropped when it gets long. */
static json_t *history(const struct rollout *d, int64_t revision) {
        int64_t was = d->new_set ? revision_of(d->new_set) : 0;
        const char *before = !d->new_set ? NULL : object_annotation(d->new_set, HISTORY_ANNOTATION);

        if (was == 0 || was >= revision)
                return before ? json_string(before) : NULL;
        while (before && strlen(before) > HISTORY_SIZE_MAX) {
                before = strchr(before, ',');
                before += !!before;
        }
        return isempty(before) ? number_text(was) : json_sprintf("%s,%lld", before, (long long)was);
}

/* Annotations that a ReplicaSet carries for its Deployment: the Deployment's own except three, and
 * those of the controller. */
static json_t *set_annotations(const struct rollout *d, int64_t revision) {
        json_t *a = json_object(), *v;
        const char *key;

        json_object_foreach ((json_t *)json_at(d->deployment, "metadata.annotations"), key, v)
                if (!streq(key, "kubectl.kubernetes.io/last-applied-configuration") &&
                                !streq(key, "deprecated.deployment.rollback.to") &&
                                !streq(key, HISTORY_ANNOTATION))
                        json_object_set(a, key, v);
        v = history(d, revision);
        if (v)
                json_object_set_new(a, HISTORY_ANNOTATION, v);
        json_object_set_new(a, REVISION_ANNOTATION, number_text(revision));
        json_object_set_new(a, DESIRED_ANNOTATION, number_text(d->replicas));
        json_object_set_new(a, MAX_ANNOTATION, number_text(d->replicas + d->surge));
        return a;
}

void rollout_create_set(const struct rollout *d, struct actions *a, int64_t replicas) {
        json_t *template = json_deep_copy(json_at(d->deployment, "spec.template"));
        json_t *selector = json_deep_copy(json_at(d->deployment, "spec.selector"));
        json_t *labels;
        const json_t *min_ready = json_at(d->deployment, "spec.minReadySeconds");
        _cleanup_free_ char *name = strformat("%s-%s", object_name(d->deployment), d->hash);
        json_t *body;

        assert(name && template && selector);
        assert(json_set_at(template, "metadata.labels",
                               with_string(json_deep_copy(json_at(template, "metadata.labels")),
                                               HASH_LABEL, d->hash)) >= 0);
        assert(json_set_at(selector, "matchLabels",
                               with_string(json_deep_copy(json_object_get(selector, "matchLabels")),
                                               HASH_LABEL, d->hash)) >= 0);
        labels = json_deep_copy(json_at(template, "metadata.labels"));
        body = json_pack("{s:s, s:s, s:{s:s, s:s, s:o, s:o, s:[o]}, s:{s:I, s:O*, s:o, s:o}}",
                        "apiVersion", "apps/v1", "kind", "ReplicaSet", "metadata", "name", name,
                        "namespace", object_namespace(d->deployment), "labels", labels,
                        "annotations", set_annotations(d, next_revision(d)), "ownerReferences",
                        controller_ref(d->deployment, "apps/v1", "Deployment"), "spec", "replicas",
                        (json_int_t)replicas, "minReadySeconds", min_ready, "selector", selector,
                        "template", template);
        action_create(a, "replicasets", object_namespace(d->deployment), body);
        action_event(a, d->deployment, "Normal", "ScalingReplicaSet",
                        "Scaled up replica set %s from 0 to %lld", name, (long long)replicas);
}

int64_t set_scaled_for(const json_t *rs) {
        const char *text = object_annotation(rs, DESIRED_ANNOTATION);
        int64_t v;

        return text && parse_i64(text, &v) >= 0 ? v : -1;
}

void rollout_scale(const struct rollout *d, struct actions *a, const json_t *rs, int64_t replicas) {
        int64_t now = set_replicas(rs);
        json_t *body;

        if (now == replicas && set_scaled_for(rs) == d->replicas)
                return;
        body = json_pack("{s:{s:{s:o, s:o}}, s:{s:I}}", "metadata", "annotations",
                        DESIRED_ANNOTATION, number_text(d->replicas), MAX_ANNOTATION,
                        number_text(d->replicas + d->surge), "spec", "replicas",
                        (json_int_t)replicas);
        action_patch(a, "replicasets", rs, /* subresource= */ NULL, body);
        if (now != replicas)
                action_event(a, d->deployment, "Normal", "ScalingReplicaSet",
                                "Scaled %s replica set %s from %lld to %lld",
                                replicas > now ? "up" : "down", object_name(rs), (long long)now,
                                (long long)replicas);
}

bool rollout_update_set(const struct rollout *d, struct actions *a) {
        int64_t revision = next_revision(d);
        _cleanup_json_ json_t *want = set_annotations(d, revision), *patch = json_object();
        const json_t *have = json_at(d->new_set, "metadata.annotations");
        bool changed = false;
        const char *key;
        json_t *v;

        json_object_foreach (want, key, v) {
                /* These two are written together with the scaling. */
                if (streq(key, DESIRED_ANNOTATION) || streq(key, MAX_ANNOTATION))
                        continue;
                if (!json_equal(json_object_get(have, key), v))
                        json_object_set(patch, key, v);
        }
        if (json_object_size(patch) > 0 ||
                        json_int_or(d->new_set, "spec.minReadySeconds", 0) !=
                                        json_int_or(d->deployment, "spec.minReadySeconds", 0)) {
                action_patch(a, "replicasets", d->new_set, /* subresource= */ NULL,
                                json_pack("{s:{s:O}, s:{s:I}}", "metadata", "annotations", patch,
                                                "spec", "minReadySeconds",
                                                (json_int_t)json_int_or(d->deployment,
                                                                "spec.minReadySeconds", 0)));
                changed = true;
        }
        if (revision_of(d->deployment) != revision)
                action_patch(a, "deployments", d->deployment, /* subresource= */ NULL,
                                json_pack("{s:{s:{s:o}}}", "metadata", "annotations",
                                                REVISION_ANNOTATION, number_text(revision)));
        return changed;
}

static void clean_history(const struct rollout *d, struct actions *a) {
        int64_t limit = json_int_or(d->deployment, "spec.revisionHistoryLimit", 10), olds = 0;

        for (size_t i = 0; i < d->sets.count; i++)
                olds += d->sets.items[i] != d->new_set;
        for (size_t i = 0; i < d->sets.count && olds > limit; i++) {
                const json_t *rs = d->sets.items[i];

                if (rs == d->new_set)
                        continue;
                olds--;
                if (set_replicas(rs) == 0 && set_status(rs, "replicas") == 0 &&
                                !object_is_deleting(rs) &&
                                object_generation(rs) <=
                                                json_int_or(rs, "status.observedGeneration", 0))
                        action_delete(a, "replicasets", rs, /* grace_s= */ -1,
                                        /* propagation= */ NULL);
        }
}

static void deployment_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *deployment = world_get_key(w, WORLD_DEPLOYMENTS, name);
        _cleanup_(rollout_done) struct rollout d = {0};
        uint64_t wait = 0;
        size_t before;

        if (!deployment || object_is_deleting(deployment))
                return;
        rollout_read(&d, w, deployment);
        before = a->count;
        adopt_and_release(
                        a, "replicasets", deployment, "apps/v1", "Deployment", &d.sets, &d.orphans);
        if (a->count > before)
                return; /* replicas are counted once ownership is settled */
        if (d.paused || (d.new_set && rollout_is_scaling(&d)))
                rollout_scale_all(&d, a);
        else
                d.strategy->roll(&d, w, a);
        if (rollout_is_complete(&d))
                clean_history(&d, a);
        else {
                _cleanup_json_ json_t *status = deployment_report(w, name, NULL);
                _cleanup_json_ json_t *conditions =
                                json_deep_copy(json_at(deployment, "status.conditions"));

                if (!conditions)
                        conditions = json_array();
                progress_condition(&d, w, conditions, status, NULL, &wait);
                if (wait > 0)
                        actions_requeue(a, wait);
        }
}

const struct controller deployment_controller = {
                .name = "deployment",
                .primary = WORLD_DEPLOYMENTS,
                .kinds = WORLD_BIT(WORLD_DEPLOYMENTS) | WORLD_BIT(WORLD_REPLICASETS) |
                         WORLD_BIT(WORLD_PODS),
                .wake = deployment_wake,
                .plan = deployment_plan,
                .report = deployment_report,
};
