/* A webhook's conditions are those of an admission policy that has nothing else. */
#include "kapid/webhooks/conditions.h"

#include "kapid/policies/judge.h"

struct webhook_conditions {
        struct policy_language *language;
        struct policy *policy;
};

int webhook_conditions_new(struct webhook_conditions **ret, const json_t *list) {
        struct webhook_conditions *c;
        _cleanup_problem_ struct problem p = {0};
        _cleanup_json_ json_t *object = NULL;
        int r;

        *ret = NULL;
        if (json_array_size(list) == 0)
                return 0;
        object = json_pack("{s{ss}, s{sO}}", "metadata", "name", "", "spec", "matchConditions",
                        json_unconst(list));
        c = calloc(1, sizeof(*c));
        r = object && c ? policy_language_new(&c->language) : -ENOMEM;
        if (r < 0) {
                webhook_conditions_free(c);
                return r;
        }
        r = policy_new(&c->policy, c->language, object, &p);
        if (r < 0) {
                webhook_conditions_free(c);
                return r;
        }
        *ret = c;
        return 0;
}

struct webhook_conditions *webhook_conditions_free(struct webhook_conditions *c) {
        if (!c)
                return NULL;
        policy_unref(c->policy);
        policy_language_free(c->language);
        return mfree(c);
}

int webhook_conditions_hold(
                const struct webhook_conditions *c, struct policy_question *q, char **ret_why) {
        _cleanup_policy_verdict_ struct policy_verdict verdict = {0};
        const char *why = c->policy->fault;
        int r;

        if (!why) {
                q->functions = c->language->functions;
                r = policy_conditions_hold(c->policy, q, &verdict);
                if (r != 0 || verdict.refusal_count == 0)
                        return r;
                why = verdict.refusals[0].message;
        }
        *ret_why = strdup(why);
        return *ret_why ? -EINVAL : -ENOMEM;
}

int webhook_conditions_check(const json_t *webhook,
                void (*report)(const char *field, const char *text, const char *why,
                                void *userdata),
                void *userdata) {
        static const struct policy_types any = {0};
        _cleanup_(policy_language_freep) struct policy_language *l = NULL;
        _cleanup_(policy_program_freep) struct policy_program *program = NULL;
        const json_t *list = json_object_get(webhook, "matchConditions");
        _cleanup_json_ json_t *spec = json_pack("{sO*}", "matchConditions", json_unconst(list));
        int r;

        if (json_array_size(list) == 0)
                return 0;
        r = spec ? policy_language_new(&l) : -ENOMEM;
        if (r < 0)
                return r;
        return policy_program_new(&program, l, spec, &any, report, userdata);
}
