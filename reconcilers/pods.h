/* Questions about pods that several controllers ask. Pure. */
#pragma once

#include "reconcilers/wake.h"
#include "reconcilers/world.h"

/* Failed or Succeeded. */
bool pod_is_finished(const json_t *pod);
/* Neither finished nor terminating. */
bool pod_is_active(const json_t *pod);
/* Its Ready condition holds and its node (when it is on a known one) is not known to be
 * unreachable. */
bool pod_is_ready(const struct world *w, const json_t *pod);
/* Ready for at least min_ready_s. When it is ready but not long enough, *ret_wait_us (may be NULL)
 * is lowered to the time that is left. */
bool pod_is_available(const struct world *w, const json_t *pod, int64_t min_ready_s,
                uint64_t *ret_wait_us);
bool node_is_ready(const json_t *node);
/* Whether the node's Ready condition changed between two states of it. */
bool node_readiness_changed(const json_t *old, const json_t *node);
/* creationTimestamp in microseconds; 0 when unreadable. */
uint64_t object_created_us(const json_t *o);
/* Time at a dotted path; 0 when absent. */
uint64_t time_at(const json_t *o, const char *path);
/* A new pod from a template: metadata and spec, owned by `owner`; names by generateName "<owner>-".
 */
json_t *pod_from_template(const json_t *template, const json_t *owner, const char *api_version,
                const char *kind);
/* A pod of `owner` is created or deleted, and an Event of the owner says so in Kubernetes' words:
 * SuccessfulCreate "Created pod: NAME". Takes pod. */
struct actions;
void pod_create(struct actions *a, const json_t *owner, json_t *pod);
void pod_delete(struct actions *a, const json_t *owner, const json_t *pod);
/* Wakes the owners of that kind of the pods of a node whose readiness changed: that of the pods
 * depends on it. old: NULL for a new node. */
void wake_owners_of_node_pods(const struct world *w, const struct wake *out, const json_t *old,
                const json_t *node, bool gone, const char *group, const char *kind);
/* "25%" or a number, of total; percentages rounded as asked. */
int64_t int_or_percent(const json_t *v, int64_t total, bool round_up, int64_t fallback);
/* The hash of a pod template, of letters and digits: part of names and a label. Equal templates and
 * numbers of collisions give equal hashes. */
enum { TEMPLATE_HASH_SIZE = 16 };
void template_hash(const json_t *template, int64_t collisions, char ret[static TEMPLATE_HASH_SIZE]);
/* Says in the pod's status why it is deleted (the condition DisruptionTarget, what a Job's
 * podFailurePolicy asks for); a barrier and the delete come after it. failed: nobody is left to
 * report its end, so its phase becomes Failed. Nothing for a pod that has ended or says so already.
 */
void pod_disrupt(struct actions *a, const json_t *pod, const char *reason, const char *message,
                bool failed, uint64_t now_us);
/* A controller's owner reference. */
json_t *controller_ref(const json_t *owner, const char *api_version, const char *kind);
/* The object's owner references but those of that owner; the caller's. */
json_t *refs_without(const json_t *object, const char *uid);
/* Adds patches that adopt orphans (ownerReferences extended) and releases owned objects that the
 * owner's selector no longer matches (our reference removed). Released objects leave `owned`,
 * adopted ones enter it. */
void adopt_and_release(struct actions *a, const char *plural, const json_t *owner,
                const char *api_version, const char *kind, struct objects *owned,
                const struct objects *orphans);
/* Updates or appends the condition {type, status, reason, message} in `conditions` (an array owned
 * by the caller): lastTransitionTime moves only with status; touch moves lastUpdateTime. Takes
 * nothing. */
void condition_set(json_t *conditions, const char *type, const char *status, const char *reason,
                const char *message, const char *now, bool with_update_time);
