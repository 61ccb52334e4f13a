/* The pure half of kgitd: order of applying, what to prune, what drifted, how healthy it is, the
 * status to write. No I/O, clock or randomness. */
#pragma once

#include "lib/json.h"
#include "lib/problem.h"

/* Rank of a kind in the order of applying (lower first): namespaces, CRDs, service accounts and
 * RBAC, configuration, services, workloads, the rest. */
unsigned plan_rank(const char *api_version, const char *kind);

/* An inventory entry {group, version, kind, resource, namespace, name}, a new reference. */
json_t *plan_entry(const char *group, const char *version, const char *kind, const char *plural,
                const char *ns, const char *name);
/* "group/kind/namespace/name": the identity, whatever the version. Caller frees. */
char *plan_entry_key(const json_t *entry);

/* Entries of the old inventory that the new one lacks, in reverse order of applying. A new array.
 */
json_t *plan_prune(const json_t *old_inventory, const json_t *new_inventory);
/* Old and new together without doubles: what is written before pruning, so that a crash forgets
 * nothing. A new array. */
json_t *plan_union(const json_t *old_inventory, const json_t *new_inventory);
/* Whether removing so many is too much to do unasked: at least 10 objects and more than half of
 * them. */
bool plan_prune_is_large(size_t prune_count, size_t old_count);

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
