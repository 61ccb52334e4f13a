/* See: the namespace, the user, the options, the forms of the objects. */
#include "kapid/policies/asking.h"

#include <time.h>

#include "kapid/cache/forms.h"
#include "kapid/conversion/made-forms.h"
#include "kapid/pipeline/convert.h"
#include "kapid/policies/rights.h"
#include "kapid/webhooks/review.h"
#include "kapid/webhooks/webhooks.h"
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
        for (size_t i = 0; a->equivalents.kinds[i]; i++)
                kind_unref((struct kind *)a->equivalents.kinds[i]);
        json_decref(a->labels);
        json_decref(a->user);
        json_decref(a->options);
        json_decref(a->namespace_object);
}

uint64_t policy_clock_us(void) {
        struct timespec t = {0};

        (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
        return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
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

int policy_asking_begin(struct policy_asking *a, uint64_t budget_us) {
        struct webhook_request *facts = &a->facts;
        bool connect = facts->operation == WEBHOOK_CONNECT;
        int r = read_namespace(a);

        if (r < 0)
                return r;
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
        a->limits = (struct cel_limits){.deadline_us = policy_clock_us() + budget_us,
                        .now_us = policy_clock_us};
        return 0;
}

/* -EINVAL with a->unfit, -ENOMEM. */
static int form_of(struct policy_asking *a, const json_t *object, json_t **ret) {
        const struct webhook_request *facts = &a->facts;
        _cleanup_problem_ struct problem p = {0};
        const char *why;
        int r;

        if (!object)
                return 0;
        if (a->as == facts->kind || webhook_has_own_form(facts->kind, facts->sub)) {
                *ret = json_ref(object);
                return 0;
        }
        *ret = json_ref(made_forms_find(facts->forms, a->as, object, &why));
        if (*ret)
                return 0;
        r = why ? problem_set(&p, EPROTO, 500, NULL, "%s", why) : object_as(object, a->as, ret, &p);
        if (r >= 0 || r == -ENOMEM)
                return r;
        a->unfit = strformat("failed to convert object version: %s", strempty(p.message));
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

int policy_asking_each(struct policy_asking *a, policy_visit func, void *userdata) {
        const struct policy_store *s = a->store;

        for (size_t i = 0; i < s->all.v.count; i++) {
                const struct policy *p = s->all.v.items[i];
                const struct kind *as = policy_matches(&p->match, &a->facts, &a->equivalents);

                for (size_t k = 0; as && k < s->bindings.v.count; k++) {
                        const struct policy_binding *b = s->bindings.v.items[k];
                        int r;

                        if (!streq(b->policy, p->name) ||
                                        !policy_matches(&b->match, &a->facts, &a->equivalents))
                                continue;
                        r = func(p, b, as, userdata);
                        if (r < 0)
                                return r;
                }
        }
        return 0;
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
