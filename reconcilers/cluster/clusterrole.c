/* Aggregated ClusterRoles: the rules of one with an aggregationRule are those of every ClusterRole
 * that one of its selectors matches, in the order of their names, each rule once (Kubernetes' page
 * on RBAC, "Aggregated ClusterRoles"). A role that is aggregated itself counts with the rules it
 * has, so a chain converges step by step. */
#include "lib/object.h"
#include "lib/selector.h"
#include "reconcilers/controller.h"

static bool is_aggregated(const json_t *role) {
        return json_is_object(json_object_get(role, "aggregationRule"));
}

/* Any change may affect any aggregated role: by its present labels and by its former ones. */
static void clusterrole_wake(const struct world *w, const struct wake *out, enum world_kind kind,
                const json_t *old, const json_t *object, bool gone) {
        _cleanup_objects_ struct objects all = {0};

        world_all(w, WORLD_CLUSTERROLES, &all);
        for (size_t i = 0; i < all.count; i++)
                if (is_aggregated(all.items[i]))
                        wake_object(out, all.items[i]);
}

static bool selects(const json_t *aggregated, const json_t *role) {
        const json_t *selector;
        size_t i;

        json_array_foreach (
                        json_at(aggregated, "aggregationRule.clusterRoleSelectors"), i, selector) {
                _cleanup_(label_selector_freep) struct label_selector *s = NULL;
                _cleanup_problem_ struct problem p = {0};

                if (label_selector_from_json(selector, &s, &p) >= 0 &&
                                label_selector_matches(s, json_at(role, "metadata.labels")))
                        return true;
        }
        return false;
}

static int by_name(const void *a, const void *b) {
        return strcmp(object_name(*(const json_t *const *)a),
                        object_name(*(const json_t *const *)b));
}

static bool list_has(const json_t *list, const json_t *rule) {
        json_t *v;
        size_t i;

        json_array_foreach (list, i, v)
                if (json_equal(v, (json_t *)rule))
                        return true;
        return false;
}

static json_t *rules_of(const struct world *w, const json_t *aggregated) {
        _cleanup_objects_ struct objects all = {0};
        json_t *rules = json_array(), *rule;
        size_t k;

        assert(rules);
        world_all(w, WORLD_CLUSTERROLES, &all);
        if (all.count > 0)
                qsort(all.items, all.count, sizeof(*all.items), by_name);
        for (size_t i = 0; i < all.count; i++) {
                if (streq(object_name(all.items[i]), object_name(aggregated)) ||
                                object_is_deleting(all.items[i]) ||
                                !selects(aggregated, all.items[i]))
                        continue;
                json_array_foreach (json_object_get(all.items[i], "rules"), k, rule)
                        if (!list_has(rules, rule))
                                assert(json_array_append(rules, rule) >= 0);
        }
        return rules;
}

static void clusterrole_plan(const struct world *w, const char *name, struct actions *a) {
        const json_t *role = world_get(w, WORLD_CLUSTERROLES, NULL, name);
        _cleanup_json_ json_t *rules = NULL;
        json_t *copy;

        if (!role || object_is_deleting(role) || !is_aggregated(role))
                return;
        rules = rules_of(w, role);
        if (json_equal(json_object_get(role, "rules"), rules) ||
                        (json_array_size(rules) == 0 &&
                                        json_array_size(json_object_get(role, "rules")) == 0))
                return;
        copy = json_deep_copy(role);
        assert(copy && json_object_set(copy, "rules", rules) >= 0);
        action_update(a, "clusterroles", role, NULL, copy);
}

const struct controller clusterrole_controller = {
                .name = "clusterrole",
                .primary = WORLD_CLUSTERROLES,
                .kinds = WORLD_BIT(WORLD_CLUSTERROLES),
                .wake = clusterrole_wake,
                .plan = clusterrole_plan,
};
