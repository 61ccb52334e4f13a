/* The admission policies of the cluster: compiled as kapid's caches have them, and asked about the
 * requests that they are about. h may be NULL. */
#pragma once

#include "kapid/http/request.h"
#include "kapid/policies/policy.h"

struct policy_set;
int policy_set_new(struct policy_set **ret, struct api *a);
struct policy_set *policy_set_free(struct policy_set *h);
DEFINE_CLEANUP(struct policy_set *, policy_set_free);
/* After a change in a cache, any. NULL: everything was reloaded. */
void policy_set_on_change(struct policy_set *h, const struct cache *c);
/* Whether there is any policy of the type in effect at all. */
bool policy_set_has(const struct policy_set *h, enum policy_type type);
/* Judging and mutating may take more than one turn of the loop, and wait for the conversion webhook
 * of a definition: func is called once then, and the same question is asked again. */
struct policy_waiter {
        void (*func)(void *userdata);
        void *userdata;
};

/* A judgement under way; NULL: it has not begun. Freed only when it is not waited for. */
struct policy_judging;
struct policy_judging *policy_judging_free(struct policy_judging *j);
DEFINE_CLEANUP(struct policy_judging *, policy_judging_free);
/* Judges; facts as for webhooks_ask(): the objects are referenced, everything else in them stays
 * until *judging is NULL. 1: the waiter is called, and then this again with the same *judging
 * (facts count only in the first). 0: it is through; adds warnings; -EACCES with p: it is refused.
 * -ENOMEM. But for 1, *judging is NULL afterwards. */
int policy_set_judge(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct policy_waiter *waiter,
                struct policy_judging **judging, char ***warnings, struct problem *p);

struct policy_mutating;
/* What a request's mutating policies have done: kept between the two times that they are asked. */
struct policy_memory {
        unsigned pass;    /* 1: those that are asked again */
        json_t *after;    /* of those with IfNeeded, "POLICY/BINDING/PARAMS" -> the object then */
        uint64_t used_us; /* of what all of them may take */
        struct policy_mutating *mutating; /* under way */
};
void policy_memory_done(struct policy_memory *m);
/* Whether any of them may have to be asked again. */
bool policy_memory_waits(const struct policy_memory *m);
enum { POLICY_CHANGED = 1, POLICY_LATER = 2 };
/* Mutates, for the first time or the second (which counts itself). POLICY_CHANGED: *ret_object is
 * what became of facts->object, a new reference; changing it in place spoils the memory.
 * POLICY_LATER: the waiter is called, and then this again; the memory, and what is in the facts but
 * for the objects, stay until then. 0: it stays as it is. -EACCES with p: refused; -ENOMEM. */
int policy_set_mutate(struct policy_set *h, struct request *request,
                const struct webhook_request *facts, const struct policy_waiter *waiter,
                struct policy_memory *memory, json_t **ret_object, struct problem *p);
