/* The set, and its validating half. See: kapid/policies/asking.c. Decide: judge.c. Carry out: the
 * refusal, warnings, annotations of the audit event. (Reference: apiserver's
 * admission/plugin/policy/validating/dispatcher.go.) */
#include "kapid/policies/set.h"

#include "kapid/audit/audit.h"
#include "kapid/policies/params.h"
#include "kapid/policies/set-internal.h"
#include "lib/timefmt.h"

#define FAILURES "validation.policy.admission.k8s.io/validation_failure"

int policy_set_new(struct policy_set **ret, struct api *a) {
        _cleanup_(policy_set_freep) struct policy_set *h = calloc(1, sizeof(*h));
        int r;

        if (!h)
                return -ENOMEM;
        h->api = a;
        for (size_t i = 0; i < POLICY_TYPES; i++) {
                r = policy_store_init(&h->stores[i], i, a);
                if (r < 0)
                        return r;
        }
        r = policy_figures_new(&h->figures, daemon_metrics(a->daemon));
        if (r < 0)
                return r;
        *ret = TAKE_PTR(h);
        return 0;
}

struct policy_set *policy_set_free(struct policy_set *h) {
        if (!h)
                return NULL;
        for (size_t i = 0; i < POLICY_TYPES; i++)
                policy_store_done(&h->stores[i]);
        policy_language_free(h->language);
        policy_figures_free(h->figures);
        return mfree(h);
}

void policy_set_on_change(struct policy_set *h, const struct cache *c) {
        for (size_t i = 0; h && i < POLICY_TYPES; i++)
                policy_store_on_change(&h->stores[i], c);
}

bool policy_set_has(const struct policy_set *h, enum policy_type type) {
        return h && policy_store_any(&h->stores[type]);
}

int policy_set_refresh(struct policy_set *h, enum policy_type type) {
        int r = h->language ? 0 : policy_language_new(&h->language);

        return r < 0 ? r : policy_store_refresh(&h->stores[type], h->language);
}

struct policy_asking policy_set_asking(struct policy_set *h, enum policy_type type,
                struct request *request, const struct webhook_request *facts) {
        return (struct policy_asking){.api = h->api,
                        .store = &h->stores[type],
                        .language = h->language,
                        .request = request,
                        .facts = *facts};
}

/* --- verdicts --- */

struct policy_judging {
        struct policy_asking asking;
        struct policy_figures *figures;
        json_t *failures;    /* for the audit event */
        json_t *annotations; /* key -> array of texts */
        char **warnings;
        struct problem refusal; /* the first one */
};

struct policy_judging *policy_judging_free(struct policy_judging *j) {
        if (!j)
                return NULL;
        json_decref(j->failures);
        json_decref(j->annotations);
        strv_free(j->warnings);
        problem_done(&j->refusal);
        policy_asking_done(&j->asking);
        return mfree(j);
}

static int code_of(const char *reason) {
        return streq(reason, "Forbidden")               ? 403
               : streq(reason, "Unauthorized")          ? 401
               : streq(reason, "RequestEntityTooLarge") ? 413
                                                        : 422;
}

/* The first refusal is the one that the client sees. */
static int deny(struct policy_judging *j, const char *policy, const char *binding,
                const char *reason, const char *message) {
        _cleanup_free_ char
                        *text = binding ? strformat("ValidatingAdmissionPolicy '%s' with binding "
                                                    "'%s' denied request: %s",
                                                          policy, binding, message)
                                        : strformat("ValidatingAdmissionPolicy '%s' denied "
                                                    "request: %s",
                                                          policy, message),
                        *whole = text ? strformat("%s \"%s\" is forbidden: %s",
                                                        j->asking.facts.kind->resource,
                                                        policy_asking_name(&j->asking), text)
                                      : NULL;

        if (!whole)
                return -ENOMEM;
        return policy_asking_refuse(&j->asking, &j->refusal, code_of(reason), reason, whole, text);
}

static int warn(struct policy_judging *j, const struct policy *p, const struct policy_binding *b,
                const char *message) {
        _cleanup_free_ char *text = strformat("Validation failed for ValidatingAdmissionPolicy "
                                              "'%s' with binding '%s': %s",
                        p->name, b->name, message);

        if (!text)
                return -ENOMEM;
        return strv_contains(j->warnings, text) ? 0 : strv_extend(&j->warnings, text);
}

static int note_failure(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, const struct policy_refusal *refusal) {
        json_t *v = json_pack("{ss, ss, ss, sI, sO}", "message", refusal->message, "policy",
                        p->name, "binding", b->name, "expressionIndex",
                        (json_int_t)(refusal->index == SIZE_MAX ? 0 : refusal->index),
                        "validationActions",
                        json_unconst(json_at(b->object, "spec.validationActions")));

        if (!j->failures)
                j->failures = json_array();
        return v && json_array_append_new(j->failures, v) >= 0 ? 0 : -ENOMEM;
}

static int note_annotations(
                struct policy_judging *j, const struct policy *p, const json_t *annotations) {
        const char *key;
        json_t *v;

        json_object_each (annotations, key, v) {
                _cleanup_free_ char *name = strformat("%s/%s", p->name, key);
                json_t *list;

                if (!j->annotations)
                        j->annotations = json_object();
                if (!name || !j->annotations)
                        return -ENOMEM;
                list = json_object_get(j->annotations, name);
                if (!list) {
                        list = json_array();
                        if (json_object_set_new(j->annotations, name, list) < 0)
                                return -ENOMEM;
                }
                for (size_t i = 0; i < json_array_size(list); i++)
                        if (json_equal(json_array_get(list, i), v))
                                v = NULL;
                if (v && json_array_append(list, v) < 0)
                        return -ENOMEM;
        }
        return 0;
}

struct one {
        const struct policy *policy;
        const struct policy_binding *binding;
        uint64_t took_us;
};

static void count(struct policy_judging *j, const struct one *one, const char *action,
                const char *failure) {
        policy_figures_count(j->figures, &(struct policy_figure){.type = POLICY_VALIDATING,
                                                         .policy = one->policy->name,
                                                         .binding = one->binding->name,
                                                         .failure = failure,
                                                         .action = action,
                                                         .took_us = one->took_us});
}

static int carry_out_one(struct policy_judging *j, const struct one *one,
                const struct policy_refusal *refusal) {
        const struct policy *p = one->policy;
        const struct policy_binding *b = one->binding;
        int r;

        if (b->actions & POLICY_DENY) {
                count(j, one, "deny", refusal->message);
                r = deny(j, p->name, b->name, refusal->reason, refusal->message);
                if (r < 0)
                        return r;
        }
        if (b->actions & POLICY_WARN) {
                count(j, one, "warn", refusal->message);
                r = warn(j, p, b, refusal->message);
                if (r < 0)
                        return r;
        }
        if (!(b->actions & POLICY_AUDIT))
                return 0;
        count(j, one, "audit", refusal->message);
        return note_failure(j, p, b, refusal);
}

static int carry_out(
                struct policy_judging *j, const struct one *one, const struct policy_verdict *v) {
        if (v->ignored)
                count(j, one, "allow", v->ignored);
        for (size_t i = 0; i < v->refusal_count; i++) {
                int r = carry_out_one(j, one, &v->refusals[i]);

                if (r < 0)
                        return r;
        }
        return note_annotations(j, one->policy, v->annotations);
}

/* A policy or binding that cannot be applied: refused whatever the actions, unless failures are
 * ignored. */
static int misconfigured(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, const char *why) {
        _cleanup_free_ char *text =
                        strformat("failed to configure %s: %s", b ? "binding" : "policy", why);

        if (!text)
                return -ENOMEM;
        return p->ignores_failures ? 0 : deny(j, p->name, b ? b->name : NULL, "Invalid", text);
}

/* --- judging --- */

static int judge_with(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, const struct policy_question *q) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        uint64_t began_us = now_mono_us();
        int r = policy_judge(p, q, &verdict);

        if (r < 0)
                return r;
        return carry_out(j, &(struct one){p, b, now_mono_us() - began_us}, &verdict);
}

static int judge_binding(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, struct policy_question *q) {
        _cleanup_free_ char *why = NULL;
        _cleanup_json_ json_t *params = NULL;
        size_t i;
        int r = policy_params(j->asking.api, p, b, j->asking.facts.namespace, &params, &why);

        if (r == -EINVAL)
                return misconfigured(j, p, b, strempty(why));
        if (r < 0)
                return r;
        if (!params) /* it takes none */
                return judge_with(j, p, b, q);
        json_array_foreach (params, i, q->params) {
                r = judge_with(j, p, b, q);
                if (r < 0)
                        return r;
                policy_asking_breathe(&j->asking);
        }
        return 0;
}

static int judge_one(struct policy_judging *j, const struct policy_invocation *i) {
        struct policy_question q;
        int r;

        if (i->policy->fault)
                return misconfigured(j, i->policy, NULL, i->policy->fault);
        r = policy_asking_question(&j->asking, i->as, &q);
        if (r == -EINVAL)
                return misconfigured(j, i->policy, i->binding, j->asking.unfit);
        return r < 0 ? r : judge_binding(j, i->policy, i->binding, &q);
}

static int judge_all(struct policy_asking *a) {
        struct policy_judging *j = container_of(a, struct policy_judging, asking);

        for (size_t i = 0; i < a->invocations.count; i++) {
                int r = judge_one(j, &a->invocations.items[i]);

                if (r < 0)
                        return r;
                policy_asking_breathe(a);
        }
        return 0;
}

/* What the audit event says. */
static void annotate(struct policy_judging *j) {
        _cleanup_free_ char *text = j->failures ? json_text(j->failures) : NULL;
        const char *key;
        json_t *list;

        if (text)
                audit_annotate(j->asking.request, FAILURES, text);
        json_object_each (j->annotations, key, list) {
                _cleanup_buf_ struct buf b = {0};

                for (size_t i = 0; i < json_array_size(list); i++)
                        buf_printf(&b, "%s%s", i > 0 ? ", " : "",
                                        json_string_value(json_array_get(list, i)));
                if (!b.failed)
                        audit_annotate(j->asking.request, key, b.data);
        }
}

/* Every policy has been asked: what comes of it. */
static int take_judgement(struct policy_judging *j, char ***warnings, struct problem *p) {
        annotate(j);
        for (char **w = j->warnings; w && *w; w++) {
                int r = strv_contains(*warnings, *w) ? 0 : strv_extend(warnings, *w);

                if (r < 0)
                        return r;
        }
        if (!j->refusal.code)
                return 0;
        problem_done(p);
        *p = j->refusal;
        j->refusal = (struct problem){0};
        return -EACCES;
}

/* 1: later. */
static int begin(struct policy_set *h, struct request *request, const struct webhook_request *facts,
                const struct policy_waiter *waiter, struct policy_judging **ret) {
        _cleanup_(policy_judging_freep) struct policy_judging *j = calloc(1, sizeof(*j));
        int r = j ? policy_set_refresh(h, POLICY_VALIDATING) : -ENOMEM;

        if (r < 0)
                return r;
        j->figures = h->figures;
        j->asking = policy_set_asking(h, POLICY_VALIDATING, request, facts);
        r = policy_asking_begin(&j->asking, POLICY_SET_US);
        if (r < 0)
                return r;
        r = policy_asking_run(&j->asking, judge_all, waiter);
        if (r >= 0)
                *ret = TAKE_PTR(j);
        return r;
}

int policy_set_judge(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct policy_waiter *waiter,
                struct policy_judging **judging, char ***warnings, struct problem *p) {
        _cleanup_(policy_judging_freep) struct policy_judging *j = TAKE_PTR(*judging);
        int r = 0;

        if (!j && (!policy_set_has(h, POLICY_VALIDATING) || webhook_is_exempt(facts->kind)))
                return 0;
        if (!j)
                r = begin(h, request, facts, waiter, &j);
        if (r > 0)
                *judging = TAKE_PTR(j);
        if (r != 0)
                return r;
        assert(j->asking.ended);
        return j->asking.result < 0 ? j->asking.result : take_judgement(j, warnings, p);
}
