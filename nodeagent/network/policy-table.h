/* NetworkPolicies, the pods of this node and the peers of policies -> the contents of the table
 * (policy-nft.h). Only policies that select a pod of this node, and only the peers that they name,
 * are in the table. A change costs what it touches: a peer its elements, a pod its policies, a
 * policy its pods. No I/O. Nothing here fails: without memory the program ends. */
#pragma once

#include "lib/map.h"
#include "nodeagent/network/policy-nft.h"
#include "nodeagent/network/policy-rules.h"

struct policy_table;

/* Copies the facts. */
struct policy_table *policy_table_new(const struct policy_facts *facts) _warn_unused_;
struct policy_table *policy_table_free(struct policy_table *t);
DEFINE_CLEANUP(struct policy_table *, policy_table_free);

/* Adds or replaces a NetworkPolicy or PeerSlice (keeps a reference). 1; 0 when nothing of it has
 * changed. */
int policy_table_set_policy(struct policy_table *t, const json_t *policy);
int policy_table_set_slice(struct policy_table *t, const json_t *slice);
/* Removes one. key: "namespace/name". 1; 0 when it is not known. */
int policy_table_drop_policy(struct policy_table *t, const char *key);
int policy_table_drop_slice(struct policy_table *t, const char *key);
/* A pod of this node with a network of its own, new or changed. addresses: array of texts; NULL: as
 * before, and 0 when the pod is not known. 1; 0 when nothing of it has changed that policies depend
 * on. */
int policy_table_set_pod(struct policy_table *t, const json_t *pod, const json_t *addresses);
int policy_table_drop_pod(struct policy_table *t, const char *uid);
bool policy_table_has_pod(const struct policy_table *t, const char *uid);

/* Brings the contents up to date, at most about `steps` comparisons of a pod and a policy. True:
 * more is left to do. */
bool policy_table_settle(struct policy_table *t, size_t steps);
struct policy_nft *policy_table_nft(struct policy_table *t);
/* The namespaces of which the PeerSlices are needed (keys; values are not used). Borrowed, valid
 * once it is settled. */
const struct map *policy_table_peer_namespaces(const struct policy_table *t);
/* Calls func for every NetworkPolicy, then for every PeerSlice. func must not change the table. */
void policy_table_each(const struct policy_table *t,
                void (*func)(const json_t *object, void *userdata), void *userdata);
/* How many pods are isolated in a direction. */
size_t policy_table_isolated(const struct policy_table *t);
/* The number of comparisons of a pod and a policy, and of elements touched, since the table was
 * made; tests compare it with the size of a change. */
uint64_t policy_table_steps(const struct policy_table *t);
