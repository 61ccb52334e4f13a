/* Evictions: a delete that a PodDisruptionBudget may refuse (budget.c). */
#include "kapid/cache/forms.h"
#include "kapid/verbs/budget.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/subresource-body.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"

static void eviction_respond(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->request, p);
        else
                respond_created(w->request);
}

static void evict(struct request *request) {
        write_start(request,
                        &(struct write_options){.decide = delete_decide, .done = eviction_respond});
}

static void budget_charged(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->request, p);
        else
                evict(w->request);
}

/* Whether the pod's end disrupts anything. */
static bool is_ending(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return streq(phase, "Succeeded") || streq(phase, "Failed") || object_is_deleting(pod);
}

/* 1: budget is the pod's, to be charged; 0: it has none. */
static int find_budget(const struct request *request, struct budget *ret, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL;
        int r = request_object(request, &pod, p);

        if (r < 0 || is_ending(pod))
                return r;
        return budget_find(request, pod, ret, p);
}

static void evict_now(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(budget_done) struct budget budget = {0};
        int r = find_budget(request, &budget, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else if (r > 0)
                write_start(request, &(struct write_options){.kind = budget.kind,
                                                     .name = budget.name,
                                                     .decide = budget_decide,
                                                     .done = budget_charged});
        else
                evict(request);
}

static int eviction_begin(struct request *request, struct problem *p) {
        struct delete_options *o = &request->delete_options;
        int r = subresource_body(request, p);

        if (r < 0)
                return r;
        r = delete_options_parse(json_object_get(request->body.object, "deleteOptions"),
                        request_query(request, "gracePeriodSeconds"),
                        request_query(request, "propagationPolicy"), o, p);
        if (r < 0)
                return r;
        o->propagation = "Background";
        /* A dry run that the body asks for must not spend the budget either. */
        request->dry_run |= o->dry_run;
        return 0;
}

void verb_eviction(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = eviction_begin(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_freshen(request, evict_now);
}
