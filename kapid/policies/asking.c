/* See: the policies, the namespace, the user, the options, the forms of the objects; and the turns
 * in which that and what follows is done. */
#include "kapid/policies/asking.h"

#include "kapid/conversion/conversion.h"
#include "kapid/http/dispatch.h"
#include "kapid/pipeline/convert.h"
#include "kapid/pipeline/forms.h"
#include "kapid/policies/rights.h"
#include "kapid/webhooks/review.h"
#include "kapid/webhooks/webhooks.h"
#include "lib/fiber.h"
#include "lib/object.h"

static void drop_question(struct policy_asking *a) {
        json_decref(a->of);
        json_decref(a->object);
        json_decref(a->old_object);
        json_decref(a->review);
        free(a->unfit);
        a->of = a->object = a->old_object = a->review = NULL;
        a->unfit = NULL;
        a->as = NULL;
}

void policy_asking_done(struct policy_asking *a) {
        drop_question(a);
        for (size_t i = 0; i < a->invocations.count; i++) {
                policy_unref(a->invocations.items[i].policy);
                policy_binding_unref(a->invocations.items[i].binding);
                kind_unref(a->invocations.items[i].as);
        }
        vector_done(&a->invocations);
        made_forms_done(&a->forms);
        json_decref(a->converted);
        free(a->not_converted);
        json_decref(a->given);
        json_decref(a->given_old);
        for (size_t i = 0; a->equivalents.kinds[i]; i++)
                kind_unref((struct kind *)a->equivalents.kinds[i]);
        json_decref(a->labels);
        json_decref(a->user);
        json_decref(a->options);
        json_decref(a->namespace_object);
}

static int read_namespace(struct policy_asking *a) {
        const struct webhook_request *facts = &a->facts;
        bool is_namespace = *facts->kind->group == '\0' && streq(facts->kind->plural, "namespaces");
        struct item *it = isempty(facts->namespace) ? NULL
                                                    : api_find(a->api, "", "namespaces", "",
                                                                      facts->namespace);
        int r = it ? item_labels(it, &a->labels) : 0;

        if (r < 0 || !it || is_namespace)
                return r;
        a->namespace_object = item_object(it);
        return a->namespace_object ? 0 : -ENOMEM;
}

static int add_invocation(struct policy_asking *a, struct policy *p, struct policy_binding *b,
                const struct kind *as) {
        const struct policy_invocation i = {policy_ref(p), policy_binding_ref(b), kind_ref(as)};
        int r = vector_append(&a->invocations, i);

        if (r < 0) {
                policy_unref(i.policy);
                policy_binding_unref(i.binding);
                kind_unref(i.as);
        }
        return r;
}

/* Each policy that is about the request with each of its bindings that is, in the order of their
 * names. */
static int find_policies(struct policy_asking *a) {
        const struct policy_store *s = a->store;

        for (size_t i = 0; i < s->all.v.count; i++) {
                struct policy *p = s->all.v.items[i];
                const struct kind *as = policy_matches(&p->match, &a->facts, &a->equivalents);

                for (size_t k = 0; as && k < s->bindings.v.count; k++) {
                        struct policy_binding *b = s->bindings.v.items[k];
                        bool fits = streq(b->policy, p->name) &&
                                    policy_matches(&b->match, &a->facts, &a->equivalents);
                        int r = fits ? add_invocation(a, p, b, as) : 0;

                        if (r < 0)
                                return r;
                }
        }
        return 0;
}

int policy_asking_begin(struct policy_asking *a, uint64_t budget_us) {
        struct webhook_request *facts = &a->facts;
        bool connect = facts->operation == WEBHOOK_CONNECT;
        int r = read_namespace(a);

        if (r < 0)
                return r;
        a->given = json_ref(facts->object);
        a->given_old = json_ref(facts->old_object);
        a->user = user_to_json(&a->request->user);
        a->options = connect ? NULL : webhooks_options(a->request, facts->operation);
        if (!a->user || (!connect && !a->options))
                return -ENOMEM;
        facts->namespace_labels = a->labels;
        facts->user = a->user;
        facts->options = a->options;
        facts->dry_run = a->request->dry_run;
        webhook_equivalents_find(a->api->kinds, facts->kind, &a->equivalents);
        for (size_t i = 0; a->equivalents.kinds[i]; i++)
                (void)kind_ref(a->equivalents.kinds[i]);
        a->authority = (struct policy_authority){.may = policy_may, .userdata = a->request};
        a->limits = (struct cel_limits){.deadline_us = budget_us, .now_us = fiber_clock_us};
        return find_policies(a);
}

/* --- turns --- */

static void in_fiber(struct fiber *f, void *userdata) {
        struct policy_asking *a = userdata;
        uint64_t began_us = fiber_clock_us(f);

        a->fiber = f;
        a->limits.clock = f;
        a->limits.deadline_us += began_us;
        a->result = a->func(a);
        a->limits.deadline_us -= began_us;
        a->used_us = fiber_clock_us(f) - began_us;
        a->fiber = NULL;
        a->ended = true;
}

static void on_end(void *userdata) {
        struct policy_asking *a = userdata;

        dispatch_release(a->request);
        a->waiter.func(a->waiter.userdata);
}

int policy_asking_run(struct policy_asking *a, int (*func)(struct policy_asking *a),
                const struct policy_waiter *waiter) {
        int r;

        a->func = func;
        a->waiter = *waiter;
        if (a->invocations.count > 0) {
                r = fibers_start(a->api->fibers, in_fiber, on_end, a);
                if (r > 0)
                        dispatch_hold(a->request);
                return r;
        }
        a->ended = true;
        return 0;
}

uint64_t policy_asking_used_us(const struct policy_asking *a) {
        return a->used_us;
}

void policy_asking_breathe(const struct policy_asking *a) {
        fiber_breathe(a->fiber);
}

/* --- other versions --- */

static void on_converted(json_t *form, struct problem *p, void *userdata) {
        struct policy_asking *a = userdata;

        a->converted = form;
        if (p)
                a->not_converted = strdup(strempty(p->message));
        fiber_continue(a->fiber);
}

bool policy_asking_needs_webhook(const struct policy_asking *a, const struct kind *as) {
        return as->by_webhook && as != a->facts.kind &&
               !webhook_has_own_form(a->facts.kind, a->facts.sub);
}

int policy_asking_convert(struct policy_asking *a, const json_t *object, const char *to_api_version,
                json_t **ret, char **ret_why) {
        const struct conversion_waiter waiter = {
                        .stored = on_converted, .request = a->request, .userdata = a};
        _cleanup_problem_ struct problem p = {0};
        _cleanup_free_ char *why = NULL;
        int r = a->fiber ? conversion_to(a->api, a->facts.kind, to_api_version,
                                           json_unconst(object), &waiter, &p)
                         : problem_set(&p, ENOTSUP, 500, NULL, "its webhook cannot be asked");

        if (r == -ENOMEM)
                return r;
        if (r >= 0) {
                dispatch_leave(a->request);
                fiber_wait(a->fiber);
                why = TAKE_PTR(a->not_converted);
                *ret = TAKE_PTR(a->converted);
                if (*ret)
                        return 0;
        }
        *ret_why = why ? TAKE_PTR(why) : strdup(strempty(p.message));
        return *ret_why ? -EINVAL : -ENOMEM;
}

/* A new reference in *ret, NULL with *ret_why. */
static int webhook_form(
                struct policy_asking *a, const json_t *object, json_t **ret, char **ret_why) {
        const char *known;
        json_t *form;
        int r;

        *ret = json_ref(made_forms_find(&a->forms, a->as, object, &known));
        if (*ret)
                return 0;
        if (known) {
                *ret_why = strdup(known);
                return *ret_why ? -EINVAL : -ENOMEM;
        }
        r = policy_asking_convert(a, object, a->as->api_version, &form, ret_why);
        if (r == -EINVAL) {
                r = made_forms_add(&a->forms, a->as, object, NULL, *ret_why);
                return r < 0 ? r : -EINVAL;
        }
        if (r < 0)
                return r;
        r = made_forms_add(&a->forms, a->as, object, json_ref(form), NULL);
        if (r < 0)
                json_decref(form);
        else
                *ret = form;
        return r;
}

static int built_in_form(
                struct policy_asking *a, const json_t *object, json_t **ret, char **ret_why) {
        _cleanup_problem_ struct problem p = {0};
        int r = object_as(object, a->as, ret, &p);

        if (r >= 0 || r == -ENOMEM)
                return r;
        *ret_why = strdup(strempty(p.message));
        return *ret_why ? -EINVAL : -ENOMEM;
}

/* -EINVAL with a->unfit, -ENOMEM. */
static int form_of(struct policy_asking *a, const json_t *object, json_t **ret) {
        const struct webhook_request *facts = &a->facts;
        _cleanup_free_ char *why = NULL;
        int r;

        if (!object)
                return 0;
        if (a->as == facts->kind || webhook_has_own_form(facts->kind, facts->sub)) {
                *ret = json_ref(object);
                return 0;
        }
        r = policy_asking_needs_webhook(a, a->as) ? webhook_form(a, object, ret, &why)
                                                  : built_in_form(a, object, ret, &why);
        if (r != -EINVAL)
                return r;
        a->unfit = strformat("failed to convert object version: %s", strempty(why));
        return a->unfit ? -EINVAL : -ENOMEM;
}

static int make_forms(struct policy_asking *a, const struct kind *as) {
        static const struct webhook v1 = {.version = "v1"};
        struct webhook_request facts = a->facts;
        int r;

        drop_question(a);
        a->as = as;
        a->of = json_ref(a->facts.object);
        r = form_of(a, a->facts.object, &a->object);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        r = form_of(a, a->facts.old_object, &a->old_object);
        if (r < 0)
                return r == -EINVAL ? 0 : r;
        facts.object = a->object;
        facts.old_object = a->old_object;
        a->review = webhook_review(&v1, &facts, as, "");
        return a->review ? 0 : -ENOMEM;
}

int policy_asking_question(
                struct policy_asking *a, const struct kind *as, struct policy_question *ret) {
        int r = as == a->as && a->of == a->facts.object ? 0 : make_forms(a, as);

        if (r < 0) {
                drop_question(a);
                return r;
        }
        *ret = (struct policy_question){.functions = a->language->functions,
                        .request = &a->facts,
                        .as = as,
                        .object = a->object,
                        .old_object = a->old_object,
                        .namespace_object = a->namespace_object,
                        .review = json_object_get(a->review, "request"),
                        .authority = &a->authority,
                        .limits = &a->limits};
        return a->unfit ? -EINVAL : 0;
}

const char *policy_asking_name(const struct policy_asking *a) {
        static const char *const paths[] = {"metadata.name", "metadata.generateName"};

        if (!isempty(a->facts.name))
                return a->facts.name;
        for (size_t i = 0; i < ELEMENTS(paths); i++)
                if (*json_str_or(a->facts.object, paths[i], ""))
                        return json_str(a->facts.object, paths[i]);
        return "Unknown";
}

int policy_asking_refuse(struct policy_asking *a, struct problem *p, int code, const char *reason,
                const char *message, const char *cause) {
        const struct kind *k = a->facts.kind;

        if (p->code)
                return 0;
        problem_set(p, EACCES, code, reason, "%s", message);
        p->causes = json_pack("[{ss}]", "message", cause);
        p->status = p->causes ? problem_to_status(p, policy_asking_name(a), k->group, k->plural)
                              : NULL;
        return p->status ? 0 : -ENOMEM;
}
