/* matchConditions: CEL expressions that a request must meet besides a webhook's rules. The only
 * place that knows how they are compiled and evaluated. Pure. */
#pragma once

#include "lib/json.h"

struct policy_question;
struct webhook_conditions;
/* Of a webhook's matchConditions; *ret is NULL when there are none. One that cannot be compiled (a
 * hand in the store) fails when it is asked. -ENOMEM. */
int webhook_conditions_new(struct webhook_conditions **ret, const json_t *list);
struct webhook_conditions *webhook_conditions_free(struct webhook_conditions *c);
/* 1: all hold; 0: one does not; -EINVAL with a sentence in *ret_why (caller frees): one fails, and
 * none is false; -ENOMEM. q->functions is set here. */
int webhook_conditions_hold(
                const struct webhook_conditions *c, struct policy_question *q, char **ret_why);

/* What is wrong with the conditions of a webhook: report gets the field below it. -ENOMEM. */
int webhook_conditions_check(const json_t *webhook,
                void (*report)(const char *field, const char *text, const char *why,
                                void *userdata),
                void *userdata);
