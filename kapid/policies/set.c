/* See: the policies, their bindings, the objects of parameters, from the caches. Decide: judge.c.
 * Carry out: the refusal, warnings, annotations of the audit event. (Reference: apiserver's
 * admission/plugin/policy/validating/dispatcher.go.) */
#include "kapid/policies/set.h"

#include "kapid/audit/audit.h"
#include "kapid/cache/forms.h"
#include "kapid/conversion/made-forms.h"
#include "kapid/pipeline/convert.h"
#include "kapid/policies/judge.h"
#include "kapid/policies/params.h"
#include "kapid/policies/rights.h"
#include "kapid/webhooks/review.h"
#include "kapid/webhooks/webhooks.h"
#include "lib/log.h"
#include "lib/object.h"
#include "lib/timefmt.h"
#include "lib/vector.h"

enum { JUDGE_US = 2 * 1000 * 1000 }; /* all policies of one request */

struct policy_list {
        VECTOR(struct policy *)
        v;
};

struct binding_list {
        VECTOR(struct policy_binding *)
        v;
};

struct policy_set {
        struct api *api;
        struct policy_language *language; /* made when there is a policy */
        struct cache *policy_cache, *binding_cache;
        bool stale;
        struct policy_list all; /* by name */
        struct binding_list bindings;
        uint64_t policy_seen, binding_seen; /* the newest that was read, or could not be */
};

#define FAILURES "validation.policy.admission.k8s.io/validation_failure"

/* --- what there is --- */

static void list_done(struct policy_list *l) {
        for (size_t i = 0; i < l->v.count; i++)
                policy_unref(l->v.items[i]);
        vector_done(&l->v);
}

static void bindings_done(struct binding_list *l) {
        for (size_t i = 0; i < l->v.count; i++)
                policy_binding_free(l->v.items[i]);
        vector_done(&l->v);
}

/* The one of that name and uid that was read before. */
static struct policy *earlier_policy(const struct policy_set *h, const json_t *object) {
        for (size_t i = 0; i < h->all.v.count; i++)
                if (streq(h->all.v.items[i]->name, object_name(object)) &&
                                streq(object_uid(h->all.v.items[i]->object), object_uid(object)))
                        return h->all.v.items[i];
        return NULL;
}

static struct policy_binding *earlier_binding(const struct policy_set *h, const json_t *object) {
        for (size_t i = 0; i < h->bindings.v.count; i++) {
                struct policy_binding *b = h->bindings.v.items[i];

                if (streq(b->name, object_name(object)) &&
                                streq(object_uid(b->object), object_uid(object)))
                        return b;
        }
        return NULL;
}

static void log_unreadable(const char *kind, const char *name, bool has_effect, const char *why) {
        log_error("The %s %s cannot be read and %s: %s; write it again", kind, name,
                        has_effect ? "has the effect that it had before" : "has no effect",
                        strempty(why));
}

/* One that cannot be read counts as it was before; NULL in *ret: it never could be. -ENOMEM. */
static int read_policy(struct policy_set *h, struct item *it, struct policy **ret) {
        _cleanup_json_ json_t *object = item_object_once(it);
        _cleanup_problem_ struct problem p = {0};
        struct policy *earlier = object ? earlier_policy(h, object) : NULL;
        int r;

        if (!object)
                return -ENOMEM;
        if (earlier && policy_is_of(earlier, object)) {
                *ret = policy_ref(earlier);
                return 0;
        }
        r = policy_new(ret, h->language, object, &p);
        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret = earlier ? policy_ref(earlier) : NULL;
        if (item_revision(it) > h->policy_seen)
                log_unreadable("ValidatingAdmissionPolicy", item_path(it), earlier, p.message);
        return 0;
}

static int read_policies(struct policy_set *h) {
        struct policy_list list = {0};
        uint64_t seen = h->policy_seen;
        int r = 0;

        for (struct item *it = cache_first(h->policy_cache, ""); it && r >= 0;
                        it = cache_next(h->policy_cache, it)) {
                struct policy *p = NULL;

                seen = MAX(seen, item_revision(it));
                r = read_policy(h, it, &p);
                if (r < 0 || !p)
                        continue;
                r = vector_append(&list.v, p);
                if (r < 0)
                        policy_unref(p);
        }
        if (r < 0) {
                list_done(&list);
                return r;
        }
        list_done(&h->all);
        h->all = list;
        h->policy_seen = seen;
        return 0;
}

/* As read_policy(). */
static int read_binding(struct policy_set *h, struct item *it, struct policy_binding **ret) {
        _cleanup_json_ json_t *object = item_object_once(it);
        _cleanup_problem_ struct problem p = {0}, none = {0};
        struct policy_binding *earlier;
        int r = object ? policy_binding_new(ret, object, &p) : -ENOMEM;

        if (r >= 0 || r == -ENOMEM)
                return r;
        earlier = earlier_binding(h, object);
        if (item_revision(it) > h->binding_seen)
                log_unreadable("ValidatingAdmissionPolicyBinding", item_path(it), earlier,
                                p.message);
        return earlier ? policy_binding_new(ret, earlier->object, &none) : 0;
}

static int read_bindings(struct policy_set *h) {
        struct binding_list list = {0};
        uint64_t seen = h->binding_seen;
        int r = 0;

        for (struct item *it = cache_first(h->binding_cache, ""); it && r >= 0;
                        it = cache_next(h->binding_cache, it)) {
                struct policy_binding *b = NULL;

                seen = MAX(seen, item_revision(it));
                r = read_binding(h, it, &b);
                if (r < 0 || !b)
                        continue;
                r = vector_append(&list.v, b);
                if (r < 0)
                        policy_binding_free(b);
        }
        if (r < 0) {
                bindings_done(&list);
                return r;
        }
        bindings_done(&h->bindings);
        h->bindings = list;
        h->binding_seen = seen;
        return 0;
}

/* Without memory they stay stale: the write fails, and the next one tries again. */
static int refresh(struct policy_set *h) {
        int r;

        if (!h->stale)
                return 0;
        r = h->language ? 0 : policy_language_new(&h->language);
        if (r < 0)
                return r;
        r = read_policies(h);
        if (r < 0)
                return r;
        r = read_bindings(h);
        if (r < 0)
                return r;
        h->stale = false;
        return 0;
}

int policy_set_new(struct policy_set **ret, struct api *a) {
        _cleanup_(policy_set_freep) struct policy_set *h = calloc(1, sizeof(*h));

        if (!h)
                return -ENOMEM;
        h->api = a;
        h->stale = true;
        h->policy_cache =
                        api_cache(a, "admissionregistration.k8s.io", "validatingadmissionpolicies");
        h->binding_cache = api_cache(
                        a, "admissionregistration.k8s.io", "validatingadmissionpolicybindings");
        if (!h->policy_cache || !h->binding_cache)
                return -ENOMEM;
        *ret = TAKE_PTR(h);
        return 0;
}

struct policy_set *policy_set_free(struct policy_set *h) {
        if (!h)
                return NULL;
        bindings_done(&h->bindings);
        list_done(&h->all);
        policy_language_free(h->language);
        return mfree(h);
}

void policy_set_on_change(struct policy_set *h, const struct cache *c) {
        if (h)
                h->stale |= !c || c == h->policy_cache || c == h->binding_cache;
}

bool policy_set_any(const struct policy_set *h) {
        return h && cache_count(h->policy_cache) > 0 && cache_count(h->binding_cache) > 0;
}

/* --- one request --- */

struct judgement {
        struct policy_set *policies;
        struct request *request;
        struct webhook_request facts;
        struct webhook_equivalents equivalents;
        struct policy_authority authority;
        struct cel_limits limits;
        json_t *labels, *user, *options, *namespace_object;
        json_t *failures;    /* for the audit event */
        json_t *annotations; /* key -> array of texts */
        char ***warnings;
        struct problem *p; /* the first refusal */
};

static void judgement_done(struct judgement *j) {
        json_decref(j->labels);
        json_decref(j->user);
        json_decref(j->options);
        json_decref(j->namespace_object);
        json_decref(j->failures);
        json_decref(j->annotations);
}

static uint64_t now_us(void) {
        return now_mono_us();
}

static int begin(struct judgement *j) {
        struct policy_set *h = j->policies;
        struct webhook_request *facts = &j->facts;
        bool is_namespace = *facts->kind->group == '\0' && streq(facts->kind->plural, "namespaces");
        struct item *it = isempty(facts->namespace) ? NULL
                                                    : api_find(h->api, "", "namespaces", "",
                                                                      facts->namespace);
        int r = it ? item_labels(it, &j->labels) : 0;

        if (r < 0)
                return r;
        j->user = user_to_json(&j->request->user);
        j->options = facts->operation == WEBHOOK_CONNECT
                                     ? NULL
                                     : webhooks_options(j->request, facts->operation);
        if (!j->user || (facts->operation != WEBHOOK_CONNECT && !j->options))
                return -ENOMEM;
        if (it && !is_namespace) {
                j->namespace_object = item_object(it);
                if (!j->namespace_object)
                        return -ENOMEM;
        }
        facts->namespace_labels = j->labels;
        facts->user = j->user;
        facts->options = j->options;
        facts->dry_run = j->request->dry_run;
        webhook_equivalents_find(h->api->kinds, facts->kind, &j->equivalents);
        j->authority = (struct policy_authority){.may = policy_may, .userdata = j->request};
        j->limits = (struct cel_limits){.deadline_us = now_mono_us() + JUDGE_US, .now_us = now_us};
        return 0;
}

/* --- verdicts --- */

static int code_of(const char *reason) {
        return streq(reason, "Forbidden")               ? 403
               : streq(reason, "Unauthorized")          ? 401
               : streq(reason, "RequestEntityTooLarge") ? 413
                                                        : 422;
}

static const char *shown_name(const struct webhook_request *facts) {
        return isempty(facts->name) ? json_str_or(facts->object, "metadata.generateName", "")
                                    : facts->name;
}

/* The first refusal is the one that the client sees. */
static int deny(struct judgement *j, const char *policy, const char *binding, const char *reason,
                const char *message) {
        struct problem *p = j->p;
        _cleanup_free_ char *text =
                        binding ? strformat("ValidatingAdmissionPolicy '%s' with binding '%s' "
                                            "denied request: %s",
                                                  policy, binding, message)
                                : strformat("ValidatingAdmissionPolicy '%s' denied request: %s",
                                                  policy, message);

        if (!text)
                return -ENOMEM;
        if (p->code)
                return 0;
        problem_set(p, EACCES, code_of(reason), reason, "%s \"%s\" is forbidden: %s",
                        j->facts.kind->resource, shown_name(&j->facts), text);
        p->causes = json_pack("[{ss}]", "message", text);
        return p->causes ? 0 : -ENOMEM;
}

static int warn(struct judgement *j, const struct policy *p, const struct policy_binding *b,
                const char *message) {
        _cleanup_free_ char *text = strformat("Validation failed for ValidatingAdmissionPolicy "
                                              "'%s' with binding '%s': %s",
                        p->name, b->name, message);

        if (!text)
                return -ENOMEM;
        return strv_contains(*j->warnings, text) ? 0 : strv_extend(j->warnings, text);
}

static int note_failure(struct judgement *j, const struct policy *p, const struct policy_binding *b,
                const struct policy_refusal *refusal) {
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
                struct judgement *j, const struct policy *p, const json_t *annotations) {
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

static int carry_out_one(struct judgement *j, const struct policy *p,
                const struct policy_binding *b, const struct policy_refusal *refusal) {
        int r;

        if (b->actions & POLICY_DENY) {
                r = deny(j, p->name, b->name, refusal->reason, refusal->message);
                if (r < 0)
                        return r;
        }
        if (b->actions & POLICY_WARN) {
                r = warn(j, p, b, refusal->message);
                if (r < 0)
                        return r;
        }
        return b->actions & POLICY_AUDIT ? note_failure(j, p, b, refusal) : 0;
}

static int carry_out(struct judgement *j, const struct policy *p, const struct policy_binding *b,
                const struct policy_verdict *v) {
        for (size_t i = 0; i < v->refusal_count; i++) {
                int r = carry_out_one(j, p, b, &v->refusals[i]);

                if (r < 0)
                        return r;
        }
        return note_annotations(j, p, v->annotations);
}

/* A policy or binding that cannot be applied: refused whatever the actions, unless failures are
 * ignored. */
static int misconfigured(struct judgement *j, const struct policy *p,
                const struct policy_binding *b, const char *why) {
        _cleanup_free_ char *text =
                        strformat("failed to configure %s: %s", b ? "binding" : "policy", why);

        if (!text)
                return -ENOMEM;
        return p->ignores_failures ? 0 : deny(j, p->name, b ? b->name : NULL, "Invalid", text);
}

/* --- judging --- */

/* -EINVAL with a sentence in *ret_why (the caller frees it): it cannot be converted to that
 * version. -ENOMEM. */
static int form_of(struct judgement *j, const json_t *object, const struct kind *as, json_t **ret,
                char **ret_why) {
        const struct webhook_request *facts = &j->facts;
        _cleanup_problem_ struct problem p = {0};
        const char *why;
        int r;

        *ret = NULL;
        if (!object)
                return 0;
        if (as == facts->kind || webhook_has_own_form(facts->kind, facts->sub)) {
                *ret = json_ref(object);
                return 0;
        }
        *ret = json_ref(made_forms_find(facts->forms, as, object, &why));
        if (*ret)
                return 0;
        r = why ? problem_set(&p, EPROTO, 500, NULL, "%s", why) : object_as(object, as, ret, &p);
        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret_why = strformat("failed to convert object version: %s", strempty(p.message));
        return *ret_why ? -EINVAL : -ENOMEM;
}

static int judge_with(struct judgement *j, const struct policy *p, const struct policy_binding *b,
                const struct policy_question *q) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        int r = policy_judge(p, q, &verdict);

        return r < 0 ? r : carry_out(j, p, b, &verdict);
}

static int judge_binding(struct judgement *j, const struct policy *p,
                const struct policy_binding *b, struct policy_question *q) {
        _cleanup_json_ json_t *params = NULL;
        _cleanup_free_ char *why = NULL;
        int r = policy_params(j->policies->api, p, b, j->facts.namespace, &params, &why);

        if (r == -EINVAL)
                return misconfigured(j, p, b, strempty(why));
        if (r < 0)
                return r;
        if (!params) { /* it takes none */
                q->params = NULL;
                return judge_with(j, p, b, q);
        }
        for (size_t i = 0; i < json_array_size(params); i++) {
                q->params = json_array_get(params, i);
                r = judge_with(j, p, b, q);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* By each binding that matches. unfit: why the objects have no form for the policy; NULL: they
 * have. */
static int judge_bindings(struct judgement *j, const struct policy *p, struct policy_question *q,
                const char *unfit) {
        struct policy_set *h = j->policies;

        for (size_t i = 0; i < h->bindings.v.count; i++) {
                const struct policy_binding *b = h->bindings.v.items[i];
                int r;

                if (!streq(b->policy, p->name) ||
                                !policy_matches(&b->match, &j->facts, &j->equivalents))
                        continue;
                if (p->fault)
                        r = misconfigured(j, p, NULL, p->fault);
                else
                        r = unfit ? misconfigured(j, p, b, unfit) : judge_binding(j, p, b, q);
                if (r < 0)
                        return r;
        }
        return 0;
}

/* As form_of(), both objects. */
static int forms_of(struct judgement *j, const struct kind *as, json_t **ret, json_t **ret_old,
                char **ret_unfit) {
        int r = form_of(j, j->facts.object, as, ret, ret_unfit);

        return r < 0 ? r : form_of(j, j->facts.old_object, as, ret_old, ret_unfit);
}

static int judge_policy(struct judgement *j, const struct policy *p, const struct kind *as) {
        static const struct webhook v1 = {.version = "v1"};
        _cleanup_json_ json_t *object = NULL, *old = NULL, *review = NULL;
        _cleanup_free_ char *unfit = NULL;
        struct policy_question q = {.functions = j->policies->language->functions,
                        .request = &j->facts,
                        .as = as,
                        .namespace_object = j->namespace_object,
                        .authority = &j->authority,
                        .limits = &j->limits};
        int r = forms_of(j, as, &object, &old, &unfit);

        if (r < 0 && r != -EINVAL)
                return r;
        review = webhook_review(&v1, &j->facts, as, "");
        if (!review)
                return -ENOMEM;
        q.object = object;
        q.old_object = old;
        q.review = json_object_get(review, "request");
        return judge_bindings(j, p, &q, unfit);
}

static int judge_all(struct judgement *j) {
        struct policy_set *h = j->policies;

        for (size_t i = 0; i < h->all.v.count; i++) {
                const struct policy *p = h->all.v.items[i];
                const struct kind *as = policy_matches(&p->match, &j->facts, &j->equivalents);
                int r = as ? judge_policy(j, p, as) : 0;

                if (r < 0)
                        return r;
        }
        return 0;
}

/* What the audit event says. */
static void annotate(struct judgement *j) {
        _cleanup_free_ char *text = j->failures ? json_text(j->failures) : NULL;
        const char *key;
        json_t *list;

        if (text)
                audit_annotate(j->request, FAILURES, text);
        json_object_each (j->annotations, key, list) {
                _cleanup_buf_ struct buf b = {0};

                for (size_t i = 0; i < json_array_size(list); i++)
                        buf_printf(&b, "%s%s", i > 0 ? ", " : "",
                                        json_string_value(json_array_get(list, i)));
                if (!b.failed)
                        audit_annotate(j->request, key, b.data);
        }
}

static int judge_request(struct judgement *j) {
        int r = begin(j);

        if (r < 0)
                return r;
        r = judge_all(j);
        if (r < 0)
                return r;
        annotate(j);
        return 0;
}

static bool is_bound(const struct judgement *j, const struct policy *p) {
        const struct policy_set *h = j->policies;

        for (size_t i = 0; i < h->bindings.v.count; i++) {
                const struct policy_binding *b = h->bindings.v.items[i];

                if (streq(b->policy, p->name) &&
                                policy_matches(&b->match, &j->facts, &j->equivalents))
                        return true;
        }
        return false;
}

/* The first one that a policy lacks. */
static int find_lacking(
                struct judgement *j, const struct kind **ret_as, const json_t **ret_object) {
        const json_t *const objects[] = {j->facts.object, j->facts.old_object};
        struct policy_set *h = j->policies;

        for (size_t i = 0; i < h->all.v.count; i++) {
                const struct kind *as = policy_matches(
                                &h->all.v.items[i]->match, &j->facts, &j->equivalents);

                if (!as || as == j->facts.kind || !as->by_webhook ||
                                !is_bound(j, h->all.v.items[i]))
                        continue;
                for (size_t k = 0; k < ELEMENTS(objects); k++) {
                        const char *why = NULL;

                        if (!objects[k] || made_forms_find(j->facts.forms, as, objects[k], &why) ||
                                        why)
                                continue;
                        *ret_as = as;
                        *ret_object = objects[k];
                        return 1;
                }
        }
        return 0;
}

static int begin_and_find(
                struct judgement *j, const struct kind **ret_as, const json_t **ret_object) {
        int r = begin(j);

        return r < 0 ? r : find_lacking(j, ret_as, ret_object);
}

int policy_set_lacks_form(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct kind **ret_as,
                const json_t **ret_object) {
        struct judgement j = {.policies = h, .request = request, .facts = *facts};
        int r;

        if (!policy_set_any(h) || !facts->kind->by_webhook ||
                        webhook_has_own_form(facts->kind, facts->sub))
                return 0;
        r = refresh(h);
        if (r < 0)
                return r;
        r = begin_and_find(&j, ret_as, ret_object);
        judgement_done(&j);
        return r;
}

int policy_set_judge(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, char ***warnings, struct problem *p) {
        struct judgement j = {.policies = h,
                        .request = request,
                        .facts = *facts,
                        .warnings = warnings,
                        .p = p};
        int r;

        if (!policy_set_any(h) || webhook_is_exempt(facts->kind))
                return 0;
        r = refresh(h);
        if (r < 0)
                return r;
        r = judge_request(&j);
        judgement_done(&j);
        if (r < 0)
                return r;
        return p->code ? -EACCES : 0;
}
