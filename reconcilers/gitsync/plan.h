/* The pure half of kgitd: order of applying, what to prune, what drifted, how healthy it is, the
 * status to write. No I/O, clock or randomness. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Up to this rank (kind_rank()) everything is applied before the rest can be checked: namespaces
 * and CRDs. */
enum { PLAN_RANK_BASE = 1 };

/* A text that changes when anything but status and the server's bookkeeping changes: SHA-256 in
 * hex. */
void plan_fingerprint(const json_t *object, char ret[static 65]);

enum health { HEALTH_READY, HEALTH_PROGRESSING, HEALTH_FAILED };
/* The health of one live object; *ret_why (static or caller-freed through free) says what is
 * missing, NULL when ready. */
enum health plan_health(const json_t *object, char **ret_why);

/* Sets a condition in a conditions array (lastTransitionTime changes only with the status). */
int plan_condition(json_t *conditions, const char *type, const char *status, const char *reason,
                const char *message, const char *now, int64_t generation);
