/* PodDisruptionBudget: counts the healthy pods of a budget and says how many may be evicted.
 *
 * An eviction (kapid) takes one disruption and lists the pod in status.disruptedPods in one write
 * against the resourceVersion, before it deletes the pod. Until a pod of that list is seen to be
 * terminating it does not count as healthy; one that is not within DELETION_TIMEOUT_US was not
 * deleted after all and counts again. The status is written against the resourceVersion that it was
 * counted from, so that no eviction in between is lost. */
#include "lib/object.h"
#include "lib/selector.h"
#include "lib/timefmt.h"
#include "reconcilers/controller.h"
#include "reconcilers/workloads/deployment-internal.h"
#include "reconcilers/pods.h"

#define DELETION_TIMEOUT_US (120 * UINT64_C(1000000))

/* Derived from a budget and its pods. */
struct view {
        const json_t *budget;
        struct objects pods;   /* those that it selects */
        json_t *disrupted;     /* what stays of status.disruptedPods */
        struct objects undead; /* pods of which the deletion was expected */
        uint64_t recheck_us;   /* when the first of `disrupted` counts again; 0: none does */
        int64_t healthy, expected, desired, allowed;
        bool unmanaged; /* a pod has no controller, so that what it should be is not known */
        char *error;    /* why `expected` is not known; NULL: it is */
};

static void view_done(struct view *v) {
        objects_done(&v->pods);
        objects_done(&v->undead);
        json_decref(v->disrupted);
        free(v->error);
}

/* --- how many pods there should be --- */

/* What owns pods and says how many it wants. */
static const struct {
        const char *group, *kind;
        enum world_kind world;
} scaled_kinds[] = {
                {"apps", "ReplicaSet", WORLD_REPLICASETS},
                {"apps", "Deployment", WORLD_DEPLOYMENTS},
                {"apps", "StatefulSet", WORLD_STATEFULSETS},
                {"", "ReplicationController", WORLD_REPLICATIONCONTROLLERS},
};

/* The owner that the reference names, NULL when it is unknown or another object of that name. */
static const json_t *find_owner(const struct world *w, const char *ns, const json_t *ref) {
        char group[OBJECT_GROUP_SIZE], version[OBJECT_VERSION_SIZE];

        if (object_split_api_version(json_str_or(ref, "apiVersion", ""), group, version) < 0)
                return NULL;
        for (size_t i = 0; i < ELEMENTS(scaled_kinds); i++) {
                const json_t *owner;

                if (!streq(scaled_kinds[i].group, group) ||
                                !streq(scaled_kinds[i].kind, json_str_or(ref, "kind", "")))
                        continue;
                owner = world_get(w, scaled_kinds[i].world, ns, json_str_or(ref, "name", ""));
                return owner && streq(object_uid(owner), json_str_or(ref, "uid", "")) ? owner
                                                                                      : NULL;
        }
        return NULL;
}

/* The object whose scale counts for the pod: its controller, or the controller of that one (a
 * Deployment's ReplicaSets come and go while their sum is what people asked for). */
static const json_t *find_scaled(const struct world *w, const json_t *pod, const json_t *ref) {
        const char *ns = object_namespace(pod);
        const json_t *owner = find_owner(w, ns, ref),
                     *above = owner ? object_controller_ref(owner) : NULL,
                     *top = above ? find_owner(w, ns, above) : NULL;

        return top ? top : owner;
}

/* Sums up the scales of all owners, each once. */
static void sum_scales(struct view *v, const struct world *w) {
        _cleanup_json_ json_t *seen = json_object();

        assert(seen);
        for (size_t i = 0; i < v->pods.count && !v->error; i++) {
                const json_t *pod = v->pods.items[i], *ref = object_controller_ref(pod), *scaled;

                if (!ref) {
                        v->unmanaged = true;
                        continue;
                }
                scaled = find_scaled(w, pod, ref);
                if (!scaled) {
                        v->error = strformat("%s %s, the controller of pod \"%s\", does not exist "
                                             "or does not implement the scale subresource; set an "
                                             "integer spec.minAvailable to do without it",
                                        json_str_or(ref, "kind", ""), json_str_or(ref, "name", ""),
                                        object_name(pod));
                        assert(v->error);
                } else if (!json_object_get(seen, object_uid(scaled))) {
                        v->expected += json_int_or(scaled, "spec.replicas", 1);
                        json_object_set_new(seen, object_uid(scaled), json_true());
                }
        }
}

static void count_expected(struct view *v, const struct world *w) {
        const json_t *least = json_at(v->budget, "spec.minAvailable"),
                     *most = json_at(v->budget, "spec.maxUnavailable");

        if (most) {
                sum_scales(v, w);
                v->desired = MAX(v->expected - int_or_percent(most, v->expected, true, 0),
                                INT64_C(0));
        } else if (json_is_integer(least)) {
                v->expected = (int64_t)v->pods.count;
                v->desired = json_integer_value(least);
        } else if (least) {
                sum_scales(v, w);
                v->desired = int_or_percent(least, v->expected, true, 0);
        }
}

/* --- which pods are healthy --- */

static void look_at_pod(struct view *v, const struct world *w, const json_t *pod) {
        const json_t *entry =
                        json_get(v->budget, "status", "disruptedPods", object_name(pod), NULL);
        uint64_t since;

        if (object_is_deleting(pod))
                return;
        if (entry && time_parse(json_string_value(entry), &since) == 0) {
                if (since + DELETION_TIMEOUT_US > w->now_us) {
                        json_object_set(v->disrupted, object_name(pod), json_unconst(entry));
                        if (v->recheck_us == 0 || since + DELETION_TIMEOUT_US < v->recheck_us)
                                v->recheck_us = since + DELETION_TIMEOUT_US;
                        return;
                }
                objects_add(&v->undead, pod);
        }
        v->healthy += object_condition_true(pod, "Ready");
}

static void select_pods(struct view *v, const struct world *w) {
        _cleanup_(label_selector_freep) struct label_selector *selector = NULL;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_objects_ struct objects all = {0};

        if (label_selector_from_json(json_at(v->budget, "spec.selector"), &selector, &p) < 0)
                return;
        world_pods_for(w, object_namespace(v->budget), json_at(v->budget, "spec.selector"), &all);
        for (size_t i = 0; i < all.count; i++)
                if (label_selector_matches(selector, json_at(all.items[i], "metadata.labels")))
                        objects_add(&v->pods, all.items[i]);
}

static void view_read(struct view *v, const struct world *w, const json_t *budget) {
        *v = (struct view){.budget = budget, .disrupted = json_object()};
        assert(v->disrupted);
        select_pods(v, w);
        for (size_t i = 0; i < v->pods.count; i++)
                look_at_pod(v, w, v->pods.items[i]);
        count_expected(v, w);
        v->allowed = v->expected > 0 && !v->error ? MAX(v->healthy - v->desired, INT64_C(0)) : 0;
}

/* --- the three functions --- */

/* Budgets whose pods an owner's scale may concern. */
static void wake_of_owner(const struct world *w, const struct wake *out, const json_t *old,
                const json_t *owner, bool gone) {
        _cleanup_objects_ struct objects budgets = {0};

        if (old && !gone &&
                        json_same(json_at(old, "spec.replicas"), json_at(owner, "spec.replicas")))
                return;
        world_list(w, WORLD_BUDGETS_BY_NS, object_namespace(owner), &budgets);
        for (size_t i = 0; i < budgets.count; i++)
                wake_object(out, budgets.items[i]);
}

static void disruption_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        if (kind == WORLD_BUDGETS)
                wake_object(out, object);
        else if (kind == WORLD_PODS) {
                wake_matching(w, out, WORLD_BUDGETS_BY_NS, object);
                if (old)
                        wake_matching(w, out, WORLD_BUDGETS_BY_NS, old);
        } else
                wake_of_owner(w, out, old, object, gone);
}

/* Events are sent when the state that they are about begins, not each time that it is seen. */
static void plan_events(const struct view *v, struct actions *a) {
        const json_t *b = v->budget;
        bool first = json_int_or(b, "status.observedGeneration", 0) != object_generation(b);
        const json_t *condition = object_condition(b, "DisruptionAllowed");

        if (v->pods.count == 0 && (first || json_int_or(b, "status.expectedPods", 0) > 0))
                action_event(a, b, "Normal", "NoPods", "No matching pods found");
        if (v->unmanaged && first)
                action_event(a, b, "Warning", "UnmanagedPods",
                                "Pods selected by this PodDisruptionBudget were found to be "
                                "unmanaged. As a result, the status of the PDB cannot be "
                                "calculated correctly, which may result in undefined behavior. To "
                                "account for these pods please set \".spec.minAvailable\" field "
                                "of the PDB to an integer value.");
        if (v->error && !streq(json_str_or(condition, "message", ""), v->error))
                action_event(a, b, "Warning", "CalculateExpectedPodCountFailed",
                                "Failed to calculate the number of expected pods: %s", v->error);
        for (size_t i = 0; i < v->undead.count; i++)
                action_event(a, v->undead.items[i], "Warning", "NotDeleted",
                                "Pod was expected by PDB %s/%s to be deleted but it wasn't",
                                object_namespace(b), object_name(b));
}

static void disruption_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *budget = world_get_key(w, WORLD_BUDGETS, name);
        _cleanup_(view_done) struct view v = {0};

        if (!budget || object_is_deleting(budget))
                return;
        view_read(&v, w, budget);
        plan_events(&v, a);
        if (v.recheck_us > 0)
                actions_requeue(a, v.recheck_us - w->now_us);
}

static json_t *put_condition(const struct view *v, const struct world *w) {
        json_t *conditions = json_deep_copy(json_at(v->budget, "status.conditions")), *c;
        const char *reason = v->error         ? "SyncFailed"
                             : v->allowed > 0 ? "SufficientPods"
                                              : "InsufficientPods";
        char now[TIMEFMT_SIZE];
        size_t i;

        if (!conditions)
                conditions = json_array();
        condition_set(conditions, "DisruptionAllowed", v->allowed > 0 ? "True" : "False", reason,
                        strempty(v->error), time_format(w->now_us, now), false);
        json_array_foreach (conditions, i, c)
                if (streq(json_str_or(c, "type", ""), "DisruptionAllowed"))
                        json_set_int(c, "observedGeneration", object_generation(v->budget));
        return conditions;
}

static json_t *disruption_report(
                const struct world *w, const char *name, const struct problem *failed) {
        const json_t *budget = world_get_key(w, WORLD_BUDGETS, name);
        _cleanup_(view_done) struct view v = {0};
        json_t *status;

        if (!budget || object_is_deleting(budget))
                return NULL;
        view_read(&v, w, budget);
        status = json_pack("{s:I, s:I, s:I, s:I, s:I, s:o}", "observedGeneration",
                        (json_int_t)object_generation(budget), "disruptionsAllowed",
                        (json_int_t)v.allowed, "currentHealthy", (json_int_t)v.healthy,
                        "desiredHealthy", (json_int_t)v.desired, "expectedPods",
                        (json_int_t)v.expected, "conditions", put_condition(&v, w));
        assert(status);
        if (v.error) {
                /* What was counted last stays, but nothing may be evicted. */
                static const char *const counts[] = {
                                "currentHealthy", "desiredHealthy", "expectedPods"};

                for (size_t i = 0; i < ELEMENTS(counts); i++)
                        json_set_int(status, counts[i],
                                        json_int_or(json_at(budget, "status"), counts[i], 0));
        }
        if (json_object_size(v.disrupted) > 0)
                json_object_set(status, "disruptedPods", v.disrupted);
        return status;
}

const struct controller disruption_controller = {
                .name = "disruption",
                .primary = WORLD_BUDGETS,
                .kinds = WORLD_BIT(WORLD_BUDGETS) | WORLD_BIT(WORLD_PODS) |
                         WORLD_BIT(WORLD_DEPLOYMENTS) | WORLD_BIT(WORLD_REPLICASETS) |
                         WORLD_BIT(WORLD_STATEFULSETS) | WORLD_BIT(WORLD_REPLICATIONCONTROLLERS),
                .wake = disruption_wake,
                .plan = disruption_plan,
                .report = disruption_report,
};
