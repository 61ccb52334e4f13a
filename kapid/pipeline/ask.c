/* Mutating policies and webhooks, then those that judge. */
#include "kapid/pipeline/ask.h"

#include "kapid/policies/set.h"
#include "kapid/webhooks/webhooks.h"
#include "lib/object.h"

struct asking {
        struct request *request; /* a reference */
        unsigned operation;
        json_t *options;
        bool changed; /* by mutating policies */
        struct policy_memory policies;
        struct policy_judging *judging; /* it takes several turns */
        enum webhook_type type;         /* of what is asked */
        void (*next)(struct request *request);
};

static void ask(struct asking *a, enum webhook_type type);

static struct asking *asking_free(struct asking *a) {
        json_decref(a->options);
        policy_memory_done(&a->policies);
        policy_judging_free(a->judging);
        request_unref(a->request);
        return mfree(a);
}

static void refuse(struct asking *a, int error, const struct problem *p) {
        respond_error(a->request, error, p);
        asking_free(a);
}

static void proceed(struct asking *a) {
        if (a->request->http)
                a->next(a->request);
        asking_free(a);
}

/* true: the next question follows. */
static bool take_outcome(struct asking *a, const struct webhook_outcome *outcome) {
        request_warn_all(a->request, outcome->warnings);
        if (outcome->error >= 0)
                return true;
        refuse(a, outcome->error, outcome->p);
        return false;
}

static void on_judged(const struct webhook_outcome *outcome, void *userdata) {
        if (take_outcome(userdata, outcome))
                proceed(userdata);
}

/* What webhooks have made of the body. The name of what is created borrows from the body. */
static int take_body(struct request *request, const json_t *object) {
        json_t *copy = json_tree_copy(object);

        if (!copy)
                return -ENOMEM;
        if (isempty(request->route.name))
                request->new_name = object_name(copy);
        json_decref(request->body.object);
        request->body.object = copy;
        return 0;
}

static struct webhook_request facts_of(const struct asking *a) {
        struct request *request = a->request;
        const struct route *route = &request->route;
        const char *name = isempty(route->name) ? request->new_name : route->name;

        return (struct webhook_request){.operation = a->operation,
                        .kind = request->kind,
                        .sub = request->sub,
                        .namespace = strempty(route->namespace),
                        .name = strempty(name),
                        .object = a->options ? a->options : request->body.object};
}

/* Policies are through. */
static void on_policies(void *userdata) {
        struct asking *a = userdata;

        if (a->request->http)
                ask(a, a->type);
        else
                asking_free(a);
}

/* false: the request was answered, or on_policies() follows. */
static bool mutate_by_policies(struct asking *a) {
        const struct policy_waiter waiter = {.func = on_policies, .userdata = a};
        const struct webhook_request facts = facts_of(a);
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *made = NULL;
        int r = policy_set_mutate(a->request->api->policies, a->request, &facts, &waiter,
                        &a->policies, &made, &p);

        if (r == POLICY_LATER)
                return false;
        if (r == POLICY_CHANGED) {
                a->changed = true;
                r = take_body(a->request, made);
        }
        if (r < 0)
                refuse(a, r, &p);
        return r >= 0;
}

static void on_mutated(const struct webhook_outcome *outcome, void *userdata) {
        struct asking *a = userdata;

        if (!take_outcome(a, outcome))
                return;
        if (outcome->changed && take_body(a->request, outcome->object) < 0)
                refuse(a, -ENOMEM, outcome->p);
        else
                ask(a, WEBHOOK_VALIDATING);
}

/* Admission policies judge before the validating webhooks. false: the request was answered, or
 * on_policies() follows. */
static bool judge_by_policies(struct asking *a, const struct webhook_request *facts) {
        const struct policy_waiter waiter = {.func = on_policies, .userdata = a};
        _cleanup_problem_ struct problem p = {0};
        char **warnings = NULL;
        int r = policy_set_judge(a->request->api->policies, a->request, facts, &waiter, &a->judging,
                        &warnings, &p);

        request_warn_all(a->request, warnings);
        strv_free(warnings);
        if (r < 0)
                refuse(a, r, &p);
        return r == 0;
}

static void ask(struct asking *a, enum webhook_type type) {
        bool mutating = type == WEBHOOK_MUTATING;
        struct request *request = a->request;
        _cleanup_problem_ struct problem p = {0};
        struct webhook_request facts;
        int r;

        a->type = type;
        /* Before webhooks, and once more after them for those that want to see what they did. */
        if (!a->judging && (mutating || policy_memory_waits(&a->policies)) &&
                        !mutate_by_policies(a))
                return;
        facts = facts_of(a);
        if (!mutating && !judge_by_policies(a, &facts))
                return;
        r = webhooks_ask(request->api->webhooks,
                        &(struct webhooks_question){.type = type,
                                        .request = request,
                                        .facts = &facts,
                                        .changed = a->changed,
                                        .done = mutating ? on_mutated : on_judged,
                                        .userdata = a},
                        &p);

        if (r < 0)
                refuse(a, r, &p);
        else if (r == 0 && mutating)
                ask(a, WEBHOOK_VALIDATING);
        else if (r == 0)
                proceed(a);
}

void request_ask(struct request *request, unsigned operation, const json_t *options,
                void (*next)(struct request *request)) {
        struct webhooks *h = request->api->webhooks;
        struct policy_set *policies = request->api->policies;
        struct asking *a;

        if (!webhooks_has(h, WEBHOOK_MUTATING) && !webhooks_has(h, WEBHOOK_VALIDATING) &&
                        !policy_set_has(policies, POLICY_MUTATING) &&
                        !policy_set_has(policies, POLICY_VALIDATING)) {
                next(request);
                return;
        }
        a = calloc(1, sizeof(*a));
        if (!a) {
                respond_errno(request, -ENOMEM);
                return;
        }
        *a = (struct asking){.request = request_ref(request),
                        .operation = operation,
                        .options = json_ref(options),
                        .next = next};
        ask(a, WEBHOOK_MUTATING);
}
