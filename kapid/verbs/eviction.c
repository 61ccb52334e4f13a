/* Evictions: a delete that a PodDisruptionBudget may refuse.
 *
 *      the pod and its budget, fresh from the store
 *        | terminating: deleted
 *        | finished, not started, or unhealthy where the budget allows it: deleted if it is still
 *        |   what was judged (its resourceVersion), else judged again
 *        ' charged: the budget's status loses one disruption and lists the pod, in one write
 * against its resourceVersion (budget_decide); then deleted
 *
 * So two evictions never spend the same disruption, whichever kapid they ask. */
#include "kapid/pipeline/ask.h"
#include "kapid/verbs/budget.h"
#include "kapid/verbs/delete.h"
#include "kapid/verbs/internal.h"
#include "kapid/verbs/subresource-body.h"
#include "kapid/verbs/verbs.h"
#include "lib/object.h"
#include "lib/timefmt.h"

enum { JUDGEMENTS_MAX = 8 };

struct eviction {
        struct verb_state state;
        unsigned judgements;
        bool pinned; /* the delete is for the pod as it was judged */
};

static void eviction_free(struct verb_state *s) {
        free(container_of(s, struct eviction, state));
}

static struct eviction *eviction_of(struct request *request) {
        return container_of(request->state, struct eviction, state);
}

static void judge(struct request *request);

static void eviction_respond(struct write *w, const struct problem *p) {
        struct eviction *e = eviction_of(w->request);

        if (p && p->code == 409 && e->pinned && e->judgements < JUDGEMENTS_MAX)
                request_freshen(w->request, judge);
        else if (p)
                respond_problem(w->request, p);
        else
                respond_created(w->request);
}

/* Says why the pod ends, for a Job's podFailurePolicy. */
static int add_condition(json_t *pod, const char *now) {
        json_t *list = json_at_mut(pod, "status.conditions");
        int r;

        if (object_condition(pod, "DisruptionTarget"))
                return 0;
        if (!list) {
                r = json_set_at(pod, "status.conditions", json_array());
                if (r < 0)
                        return r;
                list = json_at_mut(pod, "status.conditions");
        }
        return json_array_append_new(list,
                               json_pack("{ss, ss, ss, ss, ss}", "type", "DisruptionTarget",
                                               "status", "True", "reason", "EvictionByEvictionAPI",
                                               "message", "Eviction API: evicting",
                                               "lastTransitionTime", now)) < 0
                               ? -ENOMEM
                               : 0;
}

static int evict_decide(
                struct write *w, const json_t *live, struct decision *ret, struct problem *p) {
        const char *phase = json_str_or(live, "status.phase", "");
        char now[TIMEFMT_SIZE];
        int r = delete_decide(w, live, ret, p);

        ret->question = ASK_NOBODY; /* they were asked about the eviction */
        if (r < 0 || ret->act != DECIDE_PUT || streq(phase, "Succeeded") || streq(phase, "Failed"))
                return r;
        return add_condition(ret->object, time_format(w->request->now_us, now));
}

static void evict(struct request *request) {
        write_start(request,
                        &(struct write_options){.decide = evict_decide, .done = eviction_respond});
}

static void budget_charged(struct write *w, const struct problem *p) {
        if (p)
                respond_problem(w->request, p);
        else
                evict(w->request);
}

/* Whether the pod's end disrupts nothing, because it serves nothing. */
static bool is_idle(const json_t *pod) {
        const char *phase = json_str_or(pod, "status.phase", "");

        return streq(phase, "Succeeded") || streq(phase, "Failed") || streq(phase, "Pending");
}

/* The options that the delete gets instead of those that it has. */
static void set_options(struct delete_options *o, json_t *body_taken) {
        json_decref(o->body);
        o->body = body_taken;
        o->uid = json_str(o->body, "preconditions.uid");
        o->resource_version = json_str(o->body, "preconditions.resourceVersion");
}

/* The delete fails if the pod has changed since. */
static int pin(struct request *request, const json_t *pod) {
        struct delete_options *o = &request->delete_options;
        _cleanup_json_ json_t *body = o->body ? json_tree_copy(o->body) : json_object();
        int r;

        if (!isempty(o->resource_version))
                return 0; /* the client's own, which was checked */
        if (!body)
                return -ENOMEM;
        r = json_set_str(body, "preconditions.resourceVersion",
                        json_str_or(pod, "metadata.resourceVersion", ""));
        if (r < 0)
                return r;
        set_options(o, TAKE_PTR(body));
        eviction_of(request)->pinned = true;
        return 0;
}

/* The pod that was judged is no longer there: the next judgement pins another one, or none. */
static int unpin(struct request *request) {
        struct delete_options *o = &request->delete_options;
        json_t *body;

        if (!eviction_of(request)->pinned)
                return 0;
        body = json_tree_copy(o->body);
        if (!body)
                return -ENOMEM;
        json_del_at(body, "preconditions.resourceVersion");
        set_options(o, body);
        eviction_of(request)->pinned = false;
        return 0;
}

/* 1: budget must be charged for the pod; 0: it may go. */
static int look(struct request *request, struct budget *budget, struct problem *p) {
        _cleanup_json_ json_t *pod = NULL;
        int r = unpin(request);

        if (r < 0)
                return r;
        r = request_object(request, &pod, p);
        if (r < 0)
                return r;
        r = delete_check_preconditions(request, request->kind, pod, p);
        if (r < 0)
                return r;
        if (object_is_deleting(pod))
                return 0;
        if (is_idle(pod))
                return pin(request, pod);
        r = budget_find(request, pod, budget, p);
        if (r <= 0)
                return r;
        if (!object_condition_true(pod, "Ready") && budget_spares_unhealthy(budget))
                return pin(request, pod);
        return 1;
}

static void judge(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        _cleanup_(budget_done) struct budget budget = {0};
        int r;

        eviction_of(request)->judgements++;
        r = look(request, &budget, &p);
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
        struct eviction *e;
        int r;

        r = delete_options_parse(json_object_get(request->body.object, "deleteOptions"),
                        request_query(request, "gracePeriodSeconds"),
                        request_query(request, "propagationPolicy"), o, p);
        if (r < 0)
                return r;
        o->propagation = "Background";
        request->dry_run |= o->dry_run;
        e = calloc(1, sizeof(*e));
        if (!e)
                return -ENOMEM;
        e->state.free = eviction_free;
        request->state = &e->state;
        return 0;
}

static void eviction_start(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = eviction_begin(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_freshen(request, judge);
}

/* A dry run that the body asks for must not spend the budget either, and webhooks are to know. */
static int read_dry_run(struct request *request, struct problem *p) {
        _cleanup_(delete_options_done) struct delete_options o = {0};
        int r = delete_options_parse(
                        json_object_get(request->body.object, "deleteOptions"), NULL, NULL, &o, p);

        request->dry_run |= r >= 0 && o.dry_run;
        return r;
}

static int eviction_body(struct request *request, struct problem *p) {
        int r = subresource_body(request, p);

        return r < 0 ? r : read_dry_run(request, p);
}

void verb_eviction(struct request *request) {
        _cleanup_problem_ struct problem p = {0};
        int r = eviction_body(request, &p);

        if (r < 0)
                respond_error(request, r, &p);
        else
                request_ask(request, WEBHOOK_CREATE, NULL, eviction_start);
}
