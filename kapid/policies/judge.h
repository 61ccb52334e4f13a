/* What a policy says about a request: pure, from the request, the objects and one object of
 * parameters. */
#pragma once

#include "kapid/policies/policy.h"

enum {
        POLICY_MESSAGE_MAX = 5 * 1024,     /* bytes of a message that an expression gives */
        POLICY_ANNOTATION_MAX = 10 * 1024, /* bytes of an annotation's value */
};

/* Everything is borrowed. */
struct policy_question {
        const struct cel_functions *functions;
        const struct webhook_request *request; /* as its own version has it */
        const struct kind *as;                 /* the version in which the objects are: */
        const json_t *object, *old_object;     /* NULL: none */
        const json_t *namespace_object;        /* NULL: none */
        const json_t *params;                  /* NULL: none */
        const json_t *review;                  /* `request` of an AdmissionReview */
        const struct policy_authority *authority;
        const struct cel_limits *limits; /* of time and memory; NULL: the usual ones. cost_max: of
                                            the policy as a whole */
};

struct policy_refusal {
        size_t index; /* of validations; SIZE_MAX: of no one */
        char *message;
        const char *reason; /* a constant */
};
struct policy_verdict {
        struct policy_refusal *refusals; /* one for each validation that does not hold, and for
                                            each failure that counts */
        size_t refusal_count;
        json_t *annotations; /* key -> text; NULL: none */
        json_t *made;        /* policy_mutate(): the patch or configuration */
        char *ignored; /* the first failure that does not count */
        uint64_t cost; /* that was spent */
};
void policy_verdict_done(struct policy_verdict *v);
#define _cleanup_policy_verdict_ _cleanup_(policy_verdict_done)

/* -ENOMEM; everything that goes wrong in expressions is in the verdict. */
int policy_judge(const struct policy *p, const struct policy_question *q,
                struct policy_verdict *ret);
/* Its conditions alone: 1: they hold; 0: they do not, or ret has the refusal of one that failed.
 */
int policy_conditions_hold(const struct policy *p, const struct policy_question *q,
                struct policy_verdict *ret);
/* Its i-th mutation: verdict.made, a tree of its own, or one refusal, whatever failurePolicy says.
 */
int policy_mutate(const struct policy *p, const struct policy_question *q, size_t i,
                struct policy_verdict *ret);
/* Adds a refusal that is about no validation; also for the driver's (a parameter is missing). */
int policy_verdict_add(struct policy_verdict *v, size_t index, const char *reason, const char *fmt,
                ...) _printf_(4, 5);
