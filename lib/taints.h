/* Taints and tolerations (nodes' spec.taints, pods' spec.tolerations), as Kubernetes' page "Taints
 * and Tolerations" says. The one rule, for JSON and for typed forms. Pure. */
#pragma once

#include "lib/json.h"

/* EFFECT_ANY is a toleration's alone; EFFECT_OTHER a text that is none of them. */
enum taint_effect {
        EFFECT_ANY,
        EFFECT_NO_SCHEDULE,
        EFFECT_PREFER,
        EFFECT_NO_EXECUTE,
        EFFECT_OTHER,
};
enum taint_effect taint_effect_parse(const char *text);
/* Whether the effect keeps pods away (NoSchedule, NoExecute), and does not only ask to. */
bool taint_effect_forbids(enum taint_effect effect);

/* Below and above: the taint's value is a number that is less (Lt) or more (Gt) than the
 * toleration's (KEP-5471). */
enum toleration_operator {
        TOLERATION_EQUAL,
        TOLERATION_EXISTS,
        TOLERATION_BELOW,
        TOLERATION_ABOVE,
};
struct toleration {
        const char *key, *value; /* borrowed; "" when absent */
        enum taint_effect effect;
        enum toleration_operator op;
};
/* A whole number of 64 bits as Kubernetes writes one: no "+", no zeros before it. */
bool toleration_number(const char *text, int64_t *ret);
/* The strings are borrowed from v. */
void toleration_read(const json_t *v, struct toleration *ret);
/* Whether it tolerates a taint. */
bool toleration_matches(const struct toleration *t, const char *key, const char *value,
                enum taint_effect effect);

/* Whether one of the pod's tolerations matches. *ret_seconds (may be NULL): for how long at least,
 * over the matching ones; -1: forever. */
bool pod_tolerates(const json_t *pod, const json_t *taint, int64_t *ret_seconds);
/* The first taint that keeps pods away and that no toleration of the list tolerates; borrowed.
 * NULL: all are tolerated. Both may be NULL. */
const json_t *taint_not_tolerated(const json_t *taints, const json_t *tolerations);
