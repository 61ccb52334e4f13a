/* Finding a pod's budget, and charging it. */
#include "kapid/verbs/budget.h"

#include "kapid/cache/forms.h"
#include "kapid/verbs/internal.h"
#include "lib/object.h"
#include "lib/timefmt.h"

void budget_done(struct budget *b) {
        kind_unref(b->kind);
        free(b->name);
        *b = (struct budget){0};
}

/* 1, 0. One with a selector that cannot be read selects nothing. */
static int budget_selects(
                struct item *it, const struct kind *k, const json_t *pod, struct problem *p) {
        _cleanup_(label_selector_freep) struct label_selector *s = NULL;
        _cleanup_problem_ struct problem ignored = {0};
        _cleanup_json_ json_t *budget = NULL;
        int r = item_object_as(it, k, &budget, p);

        if (r < 0)
                return r;
        if (label_selector_from_json(json_at(budget, "spec.selector"), &s, &ignored) < 0)
                return 0;
        return label_selector_matches(s, json_get(pod, "metadata", "labels", NULL));
}

int budget_find(const struct request *request, const json_t *pod, struct budget *ret,
                struct problem *p) {
        const struct kind *k = kind_registry_find_resource(
                        request->api->kinds, "policy", "poddisruptionbudgets");
        struct cache *c = api_cache(request->api, "policy", "poddisruptionbudgets");
        _cleanup_free_ char *prefix = strformat("%s/", request->route.namespace), *name = NULL;

        if (!k)
                return 0;
        if (!c || !prefix)
                return -ENOMEM;
        for (struct item *it = cache_first(c, prefix); it && startswith(item_path(it), prefix);
                        it = cache_next(c, it)) {
                int r = budget_selects(it, k, pod, p);

                if (r < 0)
                        return r;
                if (r == 0)
                        continue;
                if (name)
                        return problem_set(p, EINVAL, 500, "InternalError",
                                        "This pod has more than one PodDisruptionBudget, which the "
                                        "eviction subresource does not support.");
                name = strdup(item_path(it) + strlen(prefix));
                if (!name)
                        return -ENOMEM;
        }
        if (!name)
                return 0;
        *ret = (struct budget){.kind = kind_ref(k), .name = TAKE_PTR(name)};
        return 1;
}

static int refuse(struct problem *p, const char *why) {
        problem_set(p, EBUSY, 429, "TooManyRequests",
                        "Cannot evict pod as it would violate the pod's disruption budget.");
        problem_cause(p, "DisruptionBudget", "", why);
        p->retry_after_s = 10;
        return -EBUSY;
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
        int64_t allowed = json_int_or(live, "status.disruptionsAllowed", 0);
        char now[TIMEFMT_SIZE];
        int r;

        if (!live)
                return 0; /* it went meanwhile */
        if (json_int_or(live, "status.observedGeneration", 0) < object_generation(live))
                return refuse(p, "The disruption budget is still being processed by the server.");
        if (allowed <= 0) {
                _cleanup_free_ char *why = strformat("The disruption budget %s needs %lld healthy "
                                                     "pods and has %lld currently",
                                w->name, (long long)json_int_or(live, "status.desiredHealthy", 0),
                                (long long)json_int_or(live, "status.currentHealthy", 0));

                return refuse(p, strempty(why));
        }
        ret->object = json_deep_copy(live);
        if (!ret->object)
                return -ENOMEM;
        r = json_set_int(ret->object, "status.disruptionsAllowed", allowed - 1);
        if (r < 0)
                return r;
        ret->act = DECIDE_PUT;
        return add_disrupted(
                        ret->object, w->request->route.name, time_format(w->request->now_us, now));
}
