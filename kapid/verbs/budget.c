/* Finding a pod's budget, and charging it. */
#include "kapid/verbs/budget.h"

#include "kapid/pipeline/forms.h"
#include "kapid/verbs/internal.h"
#include "lib/object.h"
#include "lib/timefmt.h"

void budget_done(struct budget *b) {
        kind_unref(b->kind);
        free(b->name);
        json_decref(b->object);
        *b = (struct budget){0};
}

enum { DISRUPTED_MAX = 2000 };

/* 1 (and the budget), 0. One with a selector that cannot be read selects nothing. */
static int budget_selects(struct item *it, const struct kind *k, const json_t *pod, json_t **ret,
                struct problem *p) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *budget = NULL;
        int r = item_object_as(it, k, &budget, p);

        if (r < 0)
                return r;
        r = label_selector_from_json(json_at(budget, "spec.selector"), &s, &ignored);
        if (r < 0)
                return r == -ENOMEM ? r : 0;
        if (!label_selector_matches(s, json_get(pod, "metadata", "labels", NULL)))
                return 0;
        *ret = TAKE_PTR(budget);
        return 1;
}

int budget_find(const struct request *request, const json_t *pod, struct budget *ret,
                struct problem *p) {
        const struct kind *k = kind_registry_find_resource(
                        request->api->kinds, "policy", "poddisruptionbudgets");
        struct cache *c = api_cache(request->api, "policy", "poddisruptionbudgets");
        _cleanup_free_ char *prefix = strformat("%s/", request->route.namespace), *name = NULL;
        _cleanup_json_ json_t *object = NULL;

        if (!k)
                return 0;
        if (!c || !prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                _cleanup_json_ json_t *selecting = NULL;
                int r = budget_selects(it, k, pod, &selecting, p);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (object)
                        return problem_set(p, EINVAL, 500, "InternalError",
                                        "This pod has more than one PodDisruptionBudget, which the "
                                        "eviction subresource does not support.");
                object = TAKE_PTR(selecting);
                name = strdup(item_path(it) + strlen(prefix));
                if (!name)
                        return -ENOMEM;
        }
        if (!object)
                return 0;
        *ret = (struct budget){
                        .kind = kind_ref(k), .name = TAKE_PTR(name), .object = TAKE_PTR(object)};
        return 1;
}

bool budget_spares_unhealthy(const struct budget *b) {
        const char *policy = json_str_or(b->object, "spec.unhealthyPodEvictionPolicy", "");
        int64_t desired = json_int_or(b->object, "status.desiredHealthy", 0);

        return streq(policy, "AlwaysAllow") ||
               (desired > 0 && json_int_or(b->object, "status.currentHealthy", 0) >= desired);
}

/* 429, which clients try again; why: taken. */
static int refuse(struct problem *p, char *why) {
        _cleanup_free_ char *text = why;

        if (!text)
                return -ENOMEM;
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "Cannot evict pod as it would violate the pod's disruption budget.");
        problem_cause(p, "DisruptionBudget", "", text);
        return -EBUSY;
}

static int refuse_exhausted(const struct write *w, const json_t *live, struct problem *p) {
        const json_t *condition = object_condition(live, "DisruptionAllowed");

        if (streq(json_str_or(condition, "reason", ""), "SyncFailed"))
                return refuse(p, strformat("The disruption budget %s does not allow evicting pods "
                                           "currently because it failed sync: %s",
                                                 w->name, json_str_or(condition, "message", "")));
        return refuse(p, strformat("The disruption budget %s needs %lld healthy pods and has %lld "
                                   "currently",
                                         w->name,
                                         (long long)json_int_or(live, "status.desiredHealthy", 0),
                                         (long long)json_int_or(live, "status.currentHealthy", 0)));
}

static int check_budget(const struct write *w, const json_t *live, struct problem *p) {
        int64_t allowed = json_int_or(live, "status.disruptionsAllowed", 0);
        int r;

        if (json_int_or(live, "status.observedGeneration", 0) < object_generation(live)) {
                r = refuse(p, strformat("The disruption budget %s is still being processed by the "
                                        "server.",
                                              w->name));
                p->retry_after_s = 10;
                return r;
        }
        if (allowed < 0)
                return problem_set(p, EACCES, 403, "Forbidden",
                                "poddisruptionbudgets.policy \"%s\" is forbidden: pdb disruptions "
                                "allowed is negative",
                                w->name);
        if (json_object_size(json_at(live, "status.disruptedPods")) > DISRUPTED_MAX)
                return problem_set(p, EACCES, 403, "Forbidden",
                                "poddisruptionbudgets.policy \"%s\" is forbidden: DisruptedPods "
                                "map too big - too many evictions not confirmed by PDB controller",
                                w->name);
        return allowed == 0 ? refuse_exhausted(w, live, p) : 0;
}

/* The last disruption is spent: its condition says so at once. */
static int set_exhausted(json_t *budget, const char *now) {
        json_t *list = json_at_mut(budget, "status.conditions"), *c;
        size_t i;
        int r;

        json_array_foreach (list, i, c) {
                if (!streq(json_str_or(c, "type", ""), "DisruptionAllowed"))
                        continue;
                r = json_set_str(c, "status", "False");
                if (r < 0)
                        return r;
                r = json_set_str(c, "reason", "InsufficientPods");
                if (r < 0)
                        return r;
                r = json_set_str(c, "lastTransitionTime", now);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* The pod is on its way out: until the controller sees that, it is listed here. */
static int add_disrupted(json_t *budget, const char *pod, const char *now) {
        json_t *pods = json_at_mut(budget, "status.disruptedPods");

        if (!pods) {
                pods = json_object();
                if (!pods || json_set_at(budget, "status.disruptedPods", pods) < 0)
                        return -ENOMEM;
        }
        return json_object_set_new(pods, pod, json_string(now)) < 0 ? -ENOMEM : 0;
}

int budget_decide(struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        char now[TIMEFMT_SIZE];
        int64_t allowed;
        int r;

        if (!live)
                return 0; /* it went meanwhile */
        r = check_budget(w, live, p);
        if (r < 0)
                return r;
        ret->object = json_tree_copy(live);
        if (!ret->object)
                return -ENOMEM;
        time_format(w->request->now_us, now);
        allowed = json_int_or(live, "status.disruptionsAllowed", 0) - 1;
        r = json_set_int(ret->object, "status.disruptionsAllowed", allowed);
        if (r < 0)
                return r;
        if (allowed == 0) {
                r = set_exhausted(ret->object, now);
                if (r < 0)
                        return r;
        }
        ret->act = DECIDE_PUT;
        return add_disrupted(ret->object, w->request->route.name, now);
}
