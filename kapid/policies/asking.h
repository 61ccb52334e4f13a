/* A request about which policies of a type are asked: which ones, what their expressions may name,
 * in the version that each policy wants, and the turns of the loop that it takes. Shared by set.c
 * and mutating.c. */
#pragma once

#include "kapid/conversion/made-forms.h"
#include "kapid/http/request.h"
#include "kapid/policies/judge.h"
#include "kapid/policies/set.h"
#include "kapid/policies/store.h"

enum { POLICY_SET_US = 2 * 1000 * 1000 }; /* all policies of a type, for one request */

/* A policy that is about the request, a binding that is, and the version that it wants. */
struct policy_invocation {
        struct policy *policy;
        struct policy_binding *binding;
        struct kind *as;
};

struct policy_asking {
        struct api *api;
        struct policy_store *store;
        const struct policy_language *language;
        struct request *request;
        struct webhook_request facts;
        struct webhook_equivalents equivalents;
        struct policy_authority authority;
        struct cel_limits limits;
        json_t *labels, *user, *options, *namespace_object;
        json_t *given, *given_old; /* the objects of the facts as they came */
        /* All that follows are references: policies and definitions may change between turns. */
        VECTOR(struct policy_invocation)
        invocations;
        struct made_forms forms; /* that the conversion webhook of the definition made */
        /* Of the question that was made last: */
        const struct kind *as;
        json_t *of, *object, *old_object, *review;
        char *unfit; /* why the objects have no such form; NULL: they have */
        /* In turns: */
        struct fiber *fiber; /* while func runs; NULL: in one turn */
        int (*func)(struct policy_asking *a);
        struct policy_waiter waiter;
        bool ended;
        int result; /* of func */
        uint64_t used_us;
        json_t *converted;   /* by the webhook that it waits for */
        char *not_converted; /* or why not */
};

/* facts, store, language and request are set already; what is in facts must stay, but for the
 * objects. The policies may take budget_us of processor time. */
int policy_asking_begin(struct policy_asking *a, uint64_t budget_us);
void policy_asking_done(struct policy_asking *a);

/* Runs func, in turns of the loop where there are fibers. 0: it is through, a->result is what it
 * returned; 1: the waiter is called when it is. At once when there is nothing to be asked. */
int policy_asking_run(struct policy_asking *a, int (*func)(struct policy_asking *a),
                const struct policy_waiter *waiter);

/* The question about facts.object as it is now, but for its params. -EINVAL with a->unfit: it has
 * no form in that version; -ENOMEM. */
int policy_asking_question(
                struct policy_asking *a, const struct kind *as, struct policy_question *ret);
/* An object of the kind that the request is about, in another of its versions, by the conversion
 * webhook of its definition: waits for it. -EINVAL with a sentence; -ENOMEM. */
int policy_asking_convert(struct policy_asking *a, const json_t *object, const char *to_api_version,
                json_t **ret, char **ret_why);
/* Whether only that webhook makes the version of the kind. */
bool policy_asking_needs_webhook(const struct policy_asking *a, const struct kind *as);
/* What was used of the budget so far. */
uint64_t policy_asking_used_us(const struct policy_asking *a);
/* A place at which the loop may have its turn. */
void policy_asking_breathe(const struct policy_asking *a);

/* Refuses, in p: the first refusal stays. Details are those of a forbidden request, whatever the
 * reason, as kube-apiserver makes them. -ENOMEM. */
int policy_asking_refuse(struct policy_asking *a, struct problem *p, int code, const char *reason,
                const char *message, const char *cause);
/* What refusals call the object. */
const char *policy_asking_name(const struct policy_asking *a);
