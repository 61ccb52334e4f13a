/* A request about which policies of a type are asked: what their expressions may name, in the
 * version that each policy wants. Shared by set.c and mutating.c. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/policies/judge.h"
#include "kapid/policies/store.h"

struct policy_asking {
        struct api *api;
        struct policy_store *store;
        const struct policy_language *language;
        struct request *request;
        struct webhook_request facts;
        struct webhook_equivalents equivalents; /* references: definitions may change meanwhile */
        struct policy_authority authority;
        struct cel_limits limits;
        json_t *labels, *user, *options, *namespace_object;
        /* Of the question that was made last: */
        const struct kind *as;
        json_t *of, *object, *old_object, *review;
        char *unfit; /* why the objects have no such form; NULL: they have */
};

/* The processor time of this thread: what policies may take does not depend on what else the
 * machine does. */
uint64_t policy_clock_us(void);

/* facts, store, language and request are set already; the objects in facts must stay. */
int policy_asking_begin(struct policy_asking *a, uint64_t budget_us);
void policy_asking_done(struct policy_asking *a);
#define _cleanup_policy_asking_ _cleanup_(policy_asking_done)

/* The question about facts.object as it is now, but for its params. -EINVAL with a->unfit: it has
 * no form in that version; -ENOMEM. */
int policy_asking_question(
                struct policy_asking *a, const struct kind *as, struct policy_question *ret);

/* Calls func for each policy that is about the request and each of its bindings that is, in the
 * order of their names. as: the version that the policy wants. A result below 0 ends it. */
typedef int (*policy_visit)(const struct policy *p, const struct policy_binding *b,
                const struct kind *as, void *userdata);
int policy_asking_each(struct policy_asking *a, policy_visit func, void *userdata);

/* Refuses, in p: the first refusal stays. Details are those of a forbidden request, whatever the
 * reason, as kube-apiserver makes them. -ENOMEM. */
int policy_asking_refuse(struct policy_asking *a, struct problem *p, int code, const char *reason,
                const char *message, const char *cause);
/* What refusals call the object. */
const char *policy_asking_name(const struct policy_asking *a);
