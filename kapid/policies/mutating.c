/* Mutating policies, one after another, each about what the one before has left; those with
 * reinvocationPolicy IfNeeded once more when the object is no longer as they left it. (Reference:
 * apiserver's admission/plugin/policy/mutating/dispatcher.go.)
 *
 * Which policies are asked is decided about the request as it came, as kube-apiserver does. */
#include "kapid/audit/audit.h"
#include "kapid/policies/applied.h"
#include "kapid/policies/params.h"
#include "kapid/policies/set-internal.h"
#include "lib/fiber.h"
#include "lib/object.h"
#include "lib/timefmt.h"

struct policy_mutating {
        struct policy_asking asking;
        struct policy_figures *figures;
        struct policy_memory *memory;
        json_t *object;   /* what became of it; NULL: nothing */
        json_t *snapshot; /* of the object as it came; made when it is needed */
        size_t asked;     /* so far in this pass */
        size_t changes;   /* of the object */
        struct problem refusal;
};

static struct policy_mutating *mutating_free(struct policy_mutating *m) {
        if (!m)
                return NULL;
        policy_asking_done(&m->asking);
        json_decref(m->object);
        json_decref(m->snapshot);
        problem_done(&m->refusal);
        return mfree(m);
}
DEFINE_CLEANUP(struct policy_mutating *, mutating_free);

void policy_memory_done(struct policy_memory *m) {
        json_decref(m->after);
        mutating_free(m->mutating);
        *m = (struct policy_memory){0};
}

bool policy_memory_waits(const struct policy_memory *m) {
        return m->pass == 1 && json_object_size(m->after) > 0;
}

/* --- what comes of it --- */

/* The names are ours, the forms those of webhooks. */
static void annotate(struct policy_mutating *m, const struct policy_invocation *i, bool changed,
                bool ignored) {
        _cleanup_free_ char *key = NULL, *text = NULL;

        if (!m->asking.request->audit)
                return;
        key = strformat("%smutation.policy.keelson.dev/round_%u_index_%zu",
                        ignored ? "failed-open." : "", m->memory->pass, m->asked);
        text = strformat("{\"policy\":\"%s\",\"binding\":\"%s\",\"mutated\":%s}", i->policy->name,
                        i->binding->name, changed ? "true" : "false");
        if (key && text)
                audit_annotate(m->asking.request, key, ignored ? i->policy->name : text);
}

/* 0: failures are ignored, and the request continues. */
static int fail(struct policy_mutating *m, const struct policy_invocation *i, bool of_binding,
                const char *reason, const char *message) {
        _cleanup_free_ char *text = NULL;
        int r;

        if (i->policy->ignores_failures) {
                annotate(m, i, false, true);
                return 0;
        }
        text = of_binding ? strformat("policy '%s' with binding '%s' denied request: %s",
                                            i->policy->name, i->binding->name, message)
                          : strformat("policy \"%s\" denied request: %s", i->policy->name, message);
        if (!text)
                return -ENOMEM;
        r = policy_asking_refuse(&m->asking, &m->refusal, 403, reason, text, text);
        return r < 0 ? r : -EACCES;
}

static int misconfigured(struct policy_mutating *m, const struct policy_invocation *i,
                bool of_binding, const char *why) {
        _cleanup_free_ char *text = strformat(
                        "failed to configure %s: %s", of_binding ? "binding" : "policy", why);

        return text ? fail(m, i, of_binding, "Forbidden", text) : -ENOMEM;
}

/* --- one mutation --- */

/* The form that the policy sees, in the request's own version again. */
static int convert_back(struct policy_mutating *m, json_t **form, char **ret_why) {
        const struct kind *k = m->asking.facts.kind;
        json_t *converted;
        int r = policy_asking_convert(&m->asking, *form, k->api_version, &converted, ret_why);

        if (r < 0)
                return r;
        json_decref(*form);
        *form = converted;
        return 0;
}

/* What a mutation made becomes the object. form: what the policy saw of it. -EINVAL with a
 * sentence. */
static int apply(struct policy_mutating *m, const struct policy_invocation *i, const json_t *form,
                bool is_patch, json_t *made, char **ret_why) {
        struct webhook_request *facts = &m->asking.facts;
        const struct patched_facts patched = {.kind = facts->kind,
                        .sub = facts->sub,
                        .as = i->as,
                        .who = "the mutation",
                        .strict = true};
        _cleanup_json_ json_t *changed = NULL;
        json_t *object = NULL;
        int r = is_patch ? policy_apply_patch(form, made, &changed, ret_why)
                         : policy_apply_configuration(&patched, form, made, &changed, ret_why);

        if (r <= 0)
                return r;
        policy_asking_breathe(&m->asking);
        if (policy_asking_needs_webhook(&m->asking, i->as))
                r = convert_back(m, &changed, ret_why);
        if (r < 0)
                return r;
        r = policy_applied(&patched, facts->object, changed, &object, ret_why);
        if (r <= 0)
                return r;
        json_decref(m->object);
        m->object = object;
        facts->object = object;
        m->changes++;
        return 0;
}

static void count(struct policy_mutating *m, const struct policy_invocation *i, uint64_t began_us,
                const char *failure) {
        policy_figures_count(m->figures, &(struct policy_figure){.type = POLICY_MUTATING,
                                                         .policy = i->policy->name,
                                                         .binding = i->binding->name,
                                                         .failure = failure,
                                                         .took_us = now_mono_us() - began_us});
}

/* The n-th mutation of the policy, with what is left of its budget. */
static int mutate(struct policy_mutating *m, const struct policy_invocation *i, size_t n,
                const json_t *params, uint64_t *left) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        _cleanup_free_ char *why = NULL;
        uint64_t began_us = now_mono_us();
        struct cel_limits limits = m->asking.limits;
        struct policy_question q;
        const char *failure = NULL;
        int r = policy_asking_question(&m->asking, i->as, &q);

        if (r < 0)
                return r == -EINVAL ? misconfigured(m, i, true, m->asking.unfit) : r;
        if (fiber_clock_us(m->asking.fiber) >= limits.deadline_us)
                return fail(m, i, true, "Invalid",
                                "the mutating admission policies of the request took too long");
        limits.cost_max = *left;
        q.limits = &limits;
        q.params = params;
        r = policy_mutate(i->policy, &q, n, &verdict);
        if (r < 0)
                return r;
        *left -= MIN(verdict.cost, *left - 1); /* 0 would be the usual budget */
        if (verdict.refusal_count > 0)
                failure = verdict.refusals[0].message;
        else
                r = apply(m, i, q.object, i->policy->program->mutations[n].is_patch, verdict.made,
                                &why);
        if (r == -EINVAL)
                failure = why;
        else if (r < 0)
                return r;
        count(m, i, began_us, failure);
        return failure ? fail(m, i, true, "Invalid", failure) : 0;
}

/* --- one policy --- */

static char *key_of(const struct policy_invocation *i, const json_t *params) {
        return strformat("%s/%s/%s/%s", i->policy->name, i->binding->name,
                        json_str_or(params, "metadata.namespace", ""),
                        json_str_or(params, "metadata.name", ""));
}

/* Remembers the object as the policy has left it. */
static int remember(struct policy_mutating *m, const char *key) {
        struct policy_memory *memory = m->memory;

        if (!m->object && !m->snapshot)
                m->snapshot = json_tree_copy(m->asking.facts.object);
        if (!memory->after)
                memory->after = json_object();
        return json_object_set(memory->after, key, m->object ? m->object : m->snapshot) < 0
                               ? -ENOMEM
                               : 0;
}

/* In the first pass all are asked, then those whose object has changed since. */
static bool is_asked(const struct policy_mutating *m, const struct policy_invocation *i,
                const char *key) {
        const json_t *after = json_object_get(m->memory->after, key);

        if (m->memory->pass == 0)
                return true;
        return i->policy->reinvoked && after && !json_same(after, m->asking.facts.object);
}

/* 1: its conditions hold. */
static int meets_conditions(struct policy_mutating *m, const struct policy_invocation *i,
                const json_t *params, uint64_t *left) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        struct policy_question q;
        int r = policy_asking_question(&m->asking, i->as, &q);

        if (r < 0)
                return r == -EINVAL ? misconfigured(m, i, true, m->asking.unfit) : r;
        q.params = params;
        r = policy_conditions_hold(i->policy, &q, &verdict);
        *left -= MIN(verdict.cost, *left - 1);
        if (r != 0 || verdict.refusal_count == 0)
                return r;
        return fail(m, i, true, "Invalid", verdict.refusals[0].message);
}

static int ask_with(struct policy_mutating *m, const struct policy_invocation *i,
                const json_t *params) {
        const struct policy_program *program = i->policy->program;
        size_t changes = m->changes;
        _cleanup_free_ char *key = key_of(i, params);
        uint64_t left = CEL_COST_ALL_MAX;
        int r;

        if (!key)
                return -ENOMEM;
        if (!is_asked(m, i, key))
                return 0;
        r = meets_conditions(m, i, params, &left);
        if (r <= 0)
                return r;
        for (size_t n = 0; n < program->mutation_count; n++) {
                r = mutate(m, i, n, params, &left);
                if (r < 0)
                        return r;
                policy_asking_breathe(&m->asking);
        }
        annotate(m, i, m->changes > changes, false);
        m->asked++;
        return i->policy->reinvoked ? remember(m, key) : 0;
}

static int ask(struct policy_mutating *m, const struct policy_invocation *i) {
        _cleanup_json_ json_t *params = NULL;
        _cleanup_free_ char *why = NULL;
        int r;

        if (i->policy->fault)
                return misconfigured(m, i, false, i->policy->fault);
        r = policy_params(m->asking.api, i->policy, i->binding, m->asking.facts.namespace, &params,
                        &why);
        if (r == -EINVAL)
                return misconfigured(m, i, true, strempty(why));
        if (r < 0)
                return r;
        if (!params) /* it takes none */
                return ask_with(m, i, NULL);
        for (size_t n = 0; n < json_array_size(params); n++) {
                r = ask_with(m, i, json_array_get(params, n));
                if (r < 0)
                        return r;
        }
        return 0;
}

static int ask_all(struct policy_asking *a) {
        struct policy_mutating *m = container_of(a, struct policy_mutating, asking);
        int r = 0;

        for (size_t i = 0; r >= 0 && i < a->invocations.count; i++) {
                r = ask(m, &a->invocations.items[i]);
                policy_asking_breathe(a);
        }
        return r;
}

/* What is deleted has no object that could change; the options of a connection stay as they are. */
static bool has_object(const struct webhook_request *facts) {
        return facts->operation != WEBHOOK_DELETE && facts->operation != WEBHOOK_CONNECT &&
               facts->object;
}

/* 1: later. */
static int begin(struct policy_set *h, struct request *request, const struct webhook_request *facts,
                const struct policy_waiter *waiter, struct policy_memory *memory,
                struct policy_mutating **ret) {
        _cleanup_(mutating_freep) struct policy_mutating *m = calloc(1, sizeof(*m));
        int r = m ? policy_set_refresh(h, POLICY_MUTATING) : -ENOMEM;

        if (r < 0)
                return r;
        m->figures = h->figures;
        m->memory = memory;
        m->asking = policy_set_asking(h, POLICY_MUTATING, request, facts);
        r = policy_asking_begin(&m->asking,
                        POLICY_SET_US - MIN(memory->used_us, (uint64_t)POLICY_SET_US - 1));
        if (r < 0)
                return r;
        r = policy_asking_run(&m->asking, ask_all, waiter);
        if (r >= 0)
                *ret = TAKE_PTR(m);
        return r;
}

/* All have been asked. */
static int take_result(struct policy_mutating *m, json_t **ret_object, struct problem *p) {
        int r = m->asking.result;

        if (r < 0) {
                if (m->refusal.code) {
                        problem_done(p);
                        *p = m->refusal;
                        m->refusal = (struct problem){0};
                }
                return r;
        }
        m->memory->used_us += policy_asking_used_us(&m->asking);
        m->memory->pass++;
        if (!m->object)
                return 0;
        *ret_object = TAKE_PTR(m->object);
        return POLICY_CHANGED;
}

int policy_set_mutate(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct policy_waiter *waiter,
                struct policy_memory *memory, json_t **ret_object, struct problem *p) {
        _cleanup_(mutating_freep) struct policy_mutating *m = TAKE_PTR(memory->mutating);
        int r = 0;

        if (!m && (memory->pass > 1 || !policy_set_has(h, POLICY_MUTATING) ||
                                  webhook_is_exempt(facts->kind) || !has_object(facts)))
                return 0;
        if (!m)
                r = begin(h, request, facts, waiter, memory, &m);
        if (r < 0)
                return r;
        if (r > 0) {
                memory->mutating = TAKE_PTR(m);
                return POLICY_LATER;
        }
        assert(m->asking.ended);
        return take_result(m, ret_object, p);
}
