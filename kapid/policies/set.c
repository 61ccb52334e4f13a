/* The set, and its validating half. See: kapid/policies/asking.c. Decide: judge.c. Carry out: the
 * refusal, warnings, annotations of the audit event. (Reference: apiserver's
 * admission/plugin/policy/validating/dispatcher.go.) */
#include "kapid/policies/set.h"

#include "kapid/audit/audit.h"
#include "kapid/conversion/made-forms.h"
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

/* What it is about stays as it was in the first turn: namespace, user, objects. When the
 * policies change between turns, it begins again. */
struct policy_judging {
        struct policy_asking asking;
        struct policy_figures *figures;
        json_t *object, *old_object; /* of the facts */
        json_t *failures;            /* for the audit event */
        json_t *annotations;         /* key -> array of texts */
        char **warnings;
        struct problem refusal; /* the first one */
        /* Bindings, and parameters of the one that follows them, that were judged. */
        size_t bindings, with_params;
        json_t *params;      /* of that one, once they were read */
        size_t at;           /* binding of this turn's walk */
        uint64_t generation; /* of the store */
        uint64_t used_us, turn_began_us;
        bool moved; /* something was judged in this turn */
};

/* Nothing was judged. */
static void begin_again(struct policy_judging *j) {
        json_decref(j->failures);
        json_decref(j->annotations);
        json_decref(j->params);
        j->failures = j->annotations = j->params = NULL;
        j->warnings = strv_free(j->warnings);
        problem_done(&j->refusal);
        j->refusal = (struct problem){0};
        j->bindings = j->with_params = 0;
}

struct policy_judging *policy_judging_free(struct policy_judging *j) {
        if (!j)
                return NULL;
        begin_again(j);
        policy_asking_done(&j->asking);
        json_decref(j->object);
        json_decref(j->old_object);
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

static bool turn_is_over(const struct policy_judging *j) {
        return j->moved && policy_clock_us() >= j->turn_began_us + POLICY_TURN_US;
}

/* -EINPROGRESS: the turn is over. */
static int judge_binding(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, struct policy_question *q) {
        _cleanup_free_ char *why = NULL;
        int r = j->params ? 0
                          : policy_params(j->asking.api, p, b, j->asking.facts.namespace,
                                            &j->params, &why);

        if (r == -EINVAL)
                return misconfigured(j, p, b, strempty(why));
        if (r < 0)
                return r;
        do {
                if (turn_is_over(j))
                        return -EINPROGRESS;
                q->params = json_array_get(j->params, j->with_params); /* NULL: it takes none */
                r = !j->params || q->params ? judge_with(j, p, b, q) : 0;
                if (r < 0)
                        return r;
                j->moved = true;
        } while (++j->with_params < json_array_size(j->params));
        return 0;
}

static int judge_next(struct policy_judging *j, const struct policy *p,
                const struct policy_binding *b, const struct kind *as) {
        struct policy_question q;
        int r;

        if (p->fault)
                return misconfigured(j, p, NULL, p->fault);
        r = policy_asking_question(&j->asking, as, &q);
        if (r == -EINVAL)
                return misconfigured(j, p, b, j->asking.unfit);
        return r < 0 ? r : judge_binding(j, p, b, &q);
}

static int on_binding(const struct policy *p, const struct policy_binding *b, const struct kind *as,
                void *userdata) {
        struct policy_judging *j = userdata;
        int r = j->at++ < j->bindings ? 1 : judge_next(j, p, b, as);

        if (r != 0)
                return MIN(r, 0);
        json_decref(j->params);
        j->params = NULL;
        j->with_params = 0;
        j->bindings++;
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

/* The policies of one turn. */
static int judge_turn(struct policy_judging *j) {
        uint64_t left_us = POLICY_SET_US;
        int r;

        left_us -= MIN(j->used_us, left_us - 1);
        if (j->generation != j->asking.store->generation)
                begin_again(j);
        j->generation = j->asking.store->generation;
        j->at = 0;
        j->moved = false;
        j->turn_began_us = policy_clock_us();
        j->asking.limits.deadline_us = j->turn_began_us + left_us;
        r = policy_asking_each(&j->asking, on_binding, j);
        j->used_us += policy_clock_us() - j->turn_began_us;
        return r;
}

/* --- forms that only a conversion webhook makes --- */

struct lack {
        struct policy_asking asking;
        const struct kind *as; /* NULL: nothing is lacking */
        const json_t *object;
};

static int on_lacking(const struct policy *p, const struct policy_binding *b, const struct kind *as,
                void *userdata) {
        struct lack *l = userdata;
        const struct webhook_request *facts = &l->asking.facts;
        const json_t *const objects[] = {facts->object, facts->old_object};

        if (as == facts->kind || !as->by_webhook)
                return 0;
        for (size_t i = 0; i < ELEMENTS(objects); i++) {
                const char *why = NULL;

                if (!objects[i] || made_forms_find(facts->forms, as, objects[i], &why) || why)
                        continue;
                l->as = as;
                l->object = objects[i];
                return -EEXIST;
        }
        return 0;
}

static int find_lacking(struct lack *l) {
        int r = policy_asking_begin(&l->asking, POLICY_SET_US);

        return r < 0 ? r : policy_asking_each(&l->asking, on_lacking, l);
}

int policy_set_lacks_form(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct kind **ret_as,
                const json_t **ret_object) {
        struct lack l = {};
        int r;

        if (!facts->kind->by_webhook || webhook_has_own_form(facts->kind, facts->sub) ||
                        !policy_set_has(h, POLICY_VALIDATING))
                return 0;
        r = policy_set_refresh(h, POLICY_VALIDATING);
        if (r < 0)
                return r;
        l.asking = policy_set_asking(h, POLICY_VALIDATING, request, facts);
        r = find_lacking(&l);
        policy_asking_done(&l.asking);
        if (r < 0 && !l.as)
                return r;
        *ret_as = l.as;
        *ret_object = l.object;
        return l.as != NULL;
}

static int judging_new(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, struct policy_judging **ret) {
        _cleanup_(policy_judging_freep) struct policy_judging *j = calloc(1, sizeof(*j));
        int r;

        if (!j)
                return -ENOMEM;
        j->figures = h->figures;
        j->asking = policy_set_asking(h, POLICY_VALIDATING, request, facts);
        j->object = json_ref(facts->object);
        j->old_object = json_ref(facts->old_object);
        j->generation = h->stores[POLICY_VALIDATING].generation;
        r = policy_asking_begin(&j->asking, POLICY_SET_US);
        if (r < 0)
                return r;
        *ret = TAKE_PTR(j);
        return 0;
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

int policy_set_judge(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, struct policy_judging **judging,
                char ***warnings, struct problem *p) {
        _cleanup_(policy_judging_freep) struct policy_judging *j = TAKE_PTR(*judging);
        int r;

        if (!j && (!policy_set_has(h, POLICY_VALIDATING) || webhook_is_exempt(facts->kind)))
                return 0;
        r = policy_set_refresh(h, POLICY_VALIDATING);
        if (r < 0)
                return r;
        r = j ? 0 : judging_new(h, request, facts, &j);
        if (r < 0)
                return r;
        r = judge_turn(j);
        if (r == -EINPROGRESS) {
                *judging = TAKE_PTR(j);
                return 1;
        }
        return r < 0 ? r : take_judgement(j, warnings, p);
}
